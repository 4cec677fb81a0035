"""The options of commands on stores."""

from __future__ import annotations

import argparse
from typing import Any

from .options import command, some, words


def add_store_commands(commands: Any) -> None:
    """Commands that are given a store."""
    _info(commands)
    _verify(commands)
    _embed(commands)


def add_stored_pictures(parser: argparse.ArgumentParser) -> None:
    """Options of ``mine`` that put pictures into its store, and the one that only estimates."""
    parser.add_argument(
        "--store-patches", action="store_true", help="put the patches into the store, as JPEGs"
    )
    parser.add_argument(
        "--store-projections",
        type=words,
        default=[],
        metavar="POLICY[,POLICY]",
        help="and projections: a figure then needs neither model nor data",
    )
    parser.add_argument(
        "--elsewhere", choices=("derivative", "rectify"), help="of them, where there is no rule"
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="estimate time, memory and disk; write nothing"
    )


def _info(commands: Any) -> None:
    info = command(
        commands,
        "info",
        "Say what a store is, how it was made, and what it holds.",
        "deconvnet info outputs/top9.h5",
    )
    info.add_argument("store", metavar="STORE", help="what `deconvnet mine` wrote")


def _embed(commands: Any) -> None:
    embed = command(
        commands,
        "embed",
        "Put patches, and projections if asked, into a store: figures then need nothing else.",
        "deconvnet embed outputs/top9.h5 --projections deconvnet,guided",
    )
    embed.add_argument("store", metavar="STORE", help="what `deconvnet mine` wrote")
    embed.add_argument("--projections", type=words, default=[], help="POLICY[,POLICY]")
    embed.add_argument(
        "--elsewhere", choices=("derivative", "rectify"), help="at activations without a rule"
    )
    embed.add_argument("-o", "--output", help="new store; by default STORE is replaced")
    embed.add_argument("--model", help="MODEL, if not the one the store names")
    embed.add_argument("--weights", help="its weights, if they have moved")
    embed.add_argument("--data", help="DATA, if it has moved")


def _verify(commands: Any) -> None:
    verify = command(
        commands,
        "verify",
        "Recompute random entries of a store from model and data, and compare; 1 if any differs.",
        "deconvnet verify outputs/top9.h5 -n 100",
    )
    verify.add_argument("store", metavar="STORE", help="what `deconvnet mine` wrote")
    verify.add_argument(
        "-n", type=some, default=100, help="entries (%(default)s), or all: of all images too"
    )
    verify.add_argument("--seed", type=int, default=0, help="which entries (%(default)s)")
    verify.add_argument("--exact", action="store_true", help="the last bits must be equal too")
    verify.add_argument("--model", help="MODEL, if not the one the store names")
    verify.add_argument("--weights", help="its weights, if they have moved")
    verify.add_argument("--data", help="DATA, if it has moved")
    verify.add_argument("--device", default="auto", help="auto, cpu, cuda, … (%(default)s)")
