// What the pages of an atlas do beyond being read: units by link, search, filters, notes, keys.
// Names of layers and images come from outside: they are set as text, never parsed as markup.
"use strict";
(() => {
  const atlas = self.ATLAS, page = document.body.dataset, root = page.root;
  const layers = atlas.layers;
  const SVG = "http://www.w3.org/2000/svg";

  // ---- elements
  function fill(node, attributes, children) {
    for (const [name, value] of Object.entries(attributes)) {
      if (name === "on") for (const [what, does] of Object.entries(value)) node.addEventListener(what, does);
      else if (value !== false && value != null) node.setAttribute(name, value === true ? "" : value);
    }
    node.append(...children.flat(Infinity).filter((child) => child != null && child !== false));
    return node;
  }
  const el = (tag, attributes = {}, ...children) => fill(document.createElement(tag), attributes, children);
  const svg = (tag, attributes = {}, ...children) => fill(document.createElementNS(SVG, tag), attributes, children);
  const short = (value) => (value == null ? "–" : String(Number(value.toPrecision(3))));
  const percent = (share) => `${Math.round(100 * share)} %`;
  const signed = (value) => `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(2)}`;

  // ---- units and their addresses
  const named = (unit) => `${layers[unit.layer].name}:${unit.channel}`;
  const hash = (unit) => `#${encodeURIComponent(layers[unit.layer].name)}:${unit.channel}`;
  const address = (unit) => `${root}index.html${hash(unit)}`;
  function unitOf(text) {
    const cut = text.lastIndexOf(":"), number = text.slice(cut + 1);
    let name = text.slice(text.startsWith("#") ? 1 : 0, cut);
    try { name = decodeURIComponent(name); } catch { /* typed by hand, with a % of its own */ }
    const layer = layers.findIndex((one) => one.name === name), channel = Number(number);
    return cut > 0 && layer >= 0 && /^\d+$/.test(number) && channel < layers[layer].strengths.length
      ? { layer, channel } : null;
  }
  function sprite(unit, kind, number) {
    return `${root}sprites/${unit.layer}/${String(unit.channel).padStart(5, "0")}-${kind}-${number}.webp`;
  }

  // ---- numbers, a file for some units of a layer, loaded when they are needed
  const loaded = new Map();
  atlas.got = (layer, number, data) => loaded.get(`${layer}-${number}`).resolve(data);
  function chunk(unit) {
    const number = Math.floor(unit.channel / atlas.chunk), name = `${unit.layer}-${number}`;
    if (!loaded.has(name)) {
      const entry = {};
      entry.data = new Promise((resolve, reject) => Object.assign(entry, { resolve, reject }));
      loaded.set(name, entry);
      const failed = () => { loaded.delete(name); entry.reject(new Error(`data/${name}.js is missing`)); };
      document.head.append(el("script", { src: `${root}data/${name}.js`, on: { error: failed } }));
    }
    return loaded.get(name).data;
  }

  // ---- labels and notes of the reader, in this browser
  const STORED = `deconvnet-atlas:${atlas.key}`;
  function notes() {
    try { return new Map(JSON.parse(localStorage.getItem(STORED) || "[]")); } catch { return new Map(); }
  }
  function keep(unit, changes) {
    const all = notes(), one = { label: "", note: "", ...all.get(unit), ...changes };
    if (one.label || one.note) all.set(unit, one); else all.delete(unit);
    try { localStorage.setItem(STORED, JSON.stringify([...all])); return true; } catch { return false; }
  }
  function save() {
    const units = [...notes()].map(([unit, one]) => ({ unit, label: one.label, note: one.note }));
    const text = JSON.stringify({ atlas: atlas.key, units }, null, 1);
    const link = el("a", { href: URL.createObjectURL(new Blob([text], { type: "application/json" })),
      download: "atlas-notes.json" });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  }
  async function open(file, done) {
    try {
      const read = JSON.parse(await file.text());
      const units = read.units.filter((one) => typeof one.unit === "string" && unitOf(one.unit));
      for (const one of units) keep(one.unit, { label: String(one.label || ""), note: String(one.note || "") });
      done(`${units.length} of ${read.units.length} notes were read`);
    } catch { done(`${file.name} holds no notes of an atlas`); }
  }
  function exchange(done) {
    const pick = el("input", { type: "file", accept: ".json,application/json", hidden: true, id: "notes-file",
      on: { change: () => pick.files[0] && open(pick.files[0], done) } });
    return el("p", { class: "buttons" },
      el("button", { type: "button", id: "export", on: { click: save } }, "Export notes"),
      el("button", { type: "button", on: { click: () => pick.click() } }, "Import notes"), pick);
  }

  // ---- search
  const MOST = 40;
  function matches(text) {
    const sought = text.trim().toLowerCase(), found = [[], [], [], []];
    if (!sought) return [];
    const all = notes();
    layers.forEach((layer, number) => {
      const name = layer.name.toLowerCase();
      layer.strengths.forEach((_, channel) => {
        const unit = `${name}:${channel}`, own = all.get(`${layer.name}:${channel}`);
        const rank = unit === sought || String(channel) === sought ? 0
          : own && `${own.label}\n${own.note}`.toLowerCase().includes(sought) ? 1
            : unit.startsWith(sought) ? 2 : unit.includes(sought) ? 3 : -1;
        if (rank >= 0 && found[rank].length < MOST) found[rank].push({ layer: number, channel });
      });
    });
    return found.flat().slice(0, MOST);
  }
  function search() {
    const results = el("ul", { id: "results", hidden: true });
    const status = el("span", { class: "hidden", role: "status" });
    const input = el("input", { type: "search", id: "search", placeholder: "unit, label or note ( / )",
      "aria-label": "Search units, labels and notes", "aria-controls": "results", autocomplete: "off" });
    const close = () => { results.hidden = true; };
    input.addEventListener("input", () => {
      const found = matches(input.value), all = notes();
      results.replaceChildren(...found.map((unit) => el("li", {}, el("a", { href: address(unit), on: { click: close } },
        named(unit), " ", el("span", { class: "quiet" }, (all.get(named(unit)) || {}).label || "")))));
      results.hidden = !input.value.trim();
      status.textContent = results.hidden ? "" : `${found.length === MOST ? "the first " : ""}${found.length} units`;
      if (!found.length) results.replaceChildren(el("li", {}, "no unit, label or note has this"));
    });
    input.addEventListener("keydown", (event) => {
      const first = results.querySelector("a");
      if (event.key === "Enter" && first) { first.click(); input.blur(); }
      if (event.key === "ArrowDown" && first) { first.focus(); event.preventDefault(); }
      if (event.key === "Escape") { close(); input.blur(); }
    });
    document.addEventListener("click", (event) => { if (!tools.contains(event.target)) close(); });
    return [el("label", { class: "search" }, input, results), status];
  }

  // ---- help
  const HELP = [["← →", "unit before, unit after"], ["↑ ↓", "layer above, layer below"], ["/", "search"],
    ["?", "this help"], ["Esc", "close, or back to the layer"]];
  const help = el("dialog", { id: "help", "aria-label": "Keys" }, el("h2", {}, "Keys"),
    el("dl", { class: "facts" }, HELP.map(([key, does]) => [el("dt", {}, el("kbd", {}, key)), el("dd", {}, does)])),
    el("p", {}, "On the page of a layer the arrows move among its units; ↑ and ↓ change the layer while a unit has ",
      "the focus. Labels and notes stay in this browser until you export them."),
    el("form", { method: "dialog" }, el("button", {}, "Close")));

  // ---- the photograph, with the field
  const frame = svg("rect"), photo = el("img", { alt: "" }), caption = el("p");
  const over = svg("svg", { "aria-hidden": "true" }, frame);
  const viewer = el("dialog", { id: "photograph", "aria-label": "The photograph, with the receptive field" },
    el("div", { class: "photo" }, photo, over), caption, el("form", { method: "dialog" }, el("button", {}, "Close")));
  let shown = null; // {entries, number, unit, images}
  function photograph(step = 0) {
    const number = shown.number + step;
    if (number < 0 || number >= shown.entries.length) return;
    shown.number = number;
    const [image, value, top, left, bottom, right, place] = shown.entries[number];
    const [height, width] = atlas.image, name = shown.images[image];
    photo.src = `${root}photographs/${image}.webp`;
    fill(photo, { width, height, alt: `${name}, in which ${shown.unit} is ${short(value)}` }, []);
    fill(over, { viewBox: `0 0 ${width} ${height}` }, []);
    fill(frame, { x: left, y: top, width: right - left, height: bottom - top }, []);
    caption.textContent = `${number + 1} of ${shown.entries.length}: ${name}, ${short(value)}` +
      `${place ? ` at ${place} of the map` : ""}; field: rows ${top} to ${bottom}, columns ${left} to ${right} of ` +
      `${height} × ${width}, as the model saw the image`;
    if (!viewer.open) viewer.showModal();
  }

  // ---- the page of a unit
  const place = (unit, channel) => ({ layer: unit.layer, channel });
  function thumbnail(unit, text) {
    const alive = layers[unit.layer].strengths[unit.channel] != null;
    const picture = alive && el("img", { src: sprite(unit, "strongest", 0), alt: "", loading: "lazy", width: 96, height: 96 });
    return el("li", {}, el("a", { href: hash(unit) }, picture || "", el("span", {}, named(unit)), el("span", { class: "quiet" }, text)));
  }
  function sprites(unit, kind, data, titles) {
    const [columns, rows, height, width] = layers[unit.layer].grids[kind], entries = data.unit[kind];
    return ["patches", ...atlas.rules.map((rule) => `projections, ${rule}`)].map((what, number) => {
      const cells = entries.map(([image, value], i) => {
        const said = `${titles[i]}: ${number ? what.replace("projections", "projection") : "patch"} of ${named(unit)} in ${data.images[image]}, activation ${short(value)}`;
        const open = () => { shown = { entries, number: i, unit: named(unit), images: data.images }; photograph(); };
        return atlas.photographs ? el("button", { type: "button", "aria-label": said, title: said, on: { click: open } })
          : el("span", { role: "img", "aria-label": said, title: said });
      });
      const over = el("div", { class: "cells" }, cells);
      over.style.gridTemplate = `repeat(${rows}, 1fr) / repeat(${columns}, 1fr)`;
      const box = el("div", { class: `sprite${height < 40 ? " small" : ""}` },
        el("img", { src: sprite(unit, kind, number), alt: "", width: columns * width, height: rows * height }), over);
      return el("figure", { class: kind }, box, el("figcaption", {}, what));
    });
  }
  function histogram(told) {
    const { bins, low, high, n, zeros } = told, most = Math.max(...bins, 1);
    const text = `${n} random images: ${zeros ? `0 in ${zeros} of them${bins.length ? ", else " : ""}` : ""}${bins.length ? `${short(low)} to ${short(high)}` : ""}`;
    const bars = bins.map((count, i) => {
      const tall = Math.ceil(60 * count / most);
      return svg("rect", { x: i * 10, y: 60 - tall, width: 9, height: tall });
    });
    return el("figure", {}, svg("svg", { class: "bars", viewBox: `0 0 ${10 * Math.max(bins.length, 1)} 60`, role: "img",
      preserveAspectRatio: "none", "aria-label": `Histogram of the sample; ${text}` }, bars), el("figcaption", {}, text));
  }
  function images(unit, data) {
    const rows = data.unit.strongest.map(([image, value, top, left, bottom, right, at], i) => el("tr", {},
      [i + 1, data.images[image], short(value), at || "–", `${top}–${bottom}, ${left}–${right}`].map((cell) => el("td", {}, String(cell)))));
    const heads = ["", "image", "activation", "position", "field: rows, columns"].map((head) => el("th", { scope: "col" }, head));
    return el("details", {}, el("summary", {}, "The images in words"),
      el("div", { class: "scroll" }, el("table", {}, el("thead", {}, el("tr", {}, heads)), el("tbody", {}, rows))));
  }
  function own(unit) {
    const name = named(unit), one = notes().get(name) || { label: "", note: "" };
    const status = el("span", { role: "status", class: "quiet" });
    const told = () => { status.textContent = keep(name, { label: label.value.trim(), note: note.value.trim() }) ? "kept in this browser" : "this browser keeps nothing"; };
    const label = el("input", { id: "label", value: one.label, on: { change: told } });
    const note = el("textarea", { id: "note", rows: 3, on: { change: told } }, one.note);
    return el("fieldset", {}, el("legend", {}, "Your notes"), el("label", {}, "label ", label), el("label", {}, "note ", note),
      exchange((text) => { render(); document.querySelector("fieldset [role=status]").textContent = text; }), status);
  }
  function drawn(unit) {
    const { shell, python } = layers[unit.layer].commands;
    if (!shell) return [];
    return [el("h2", {}, "This unit as a paper’s figure"), el("p", { class: "quiet" }, "In the folder of the store; ",
      "the Python line follows ", el("code", {}, "import deconvnet as dn"), "."),
    el("pre", { id: "shell" }, shell.join(unit.channel)), el("pre", { id: "python" }, python.join(unit.channel))];
  }
  function section(title, ...content) { return el("section", {}, el("h2", {}, title), ...content); }
  function ways(unit) {
    const layer = layers[unit.layer], link = (to, text, rel) => el("a", { href: hash(to), rel }, text);
    const beside = (number) => ({ layer: number, channel: Math.min(unit.channel, layers[number].strengths.length - 1) });
    return el("nav", { "aria-label": "Units and layers" },
      unit.channel > 0 && link(place(unit, unit.channel - 1), `← ${unit.channel - 1}`, "prev"),
      unit.channel < layer.strengths.length - 1 && link(place(unit, unit.channel + 1), `${unit.channel + 1} →`, "next"),
      unit.layer < layers.length - 1 && link(beside(unit.layer + 1), `↑ ${layers[unit.layer + 1].name}`),
      unit.layer > 0 && link(beside(unit.layer - 1), `↓ ${layers[unit.layer - 1].name}`),
      el("a", { href: pageOf(unit), id: "up" }, `all of ${layer.name}`));
  }
  const pageOf = (unit) => `${root}layers/${unit.layer}-${Math.floor(unit.channel / atlas.page)}.html#u${unit.channel}`;
  function body(unit, data) {
    const layer = layers[unit.layer], told = data.unit, alive = told.strongest.length > 0;
    const counters = [["strongest", short(layer.strengths[unit.channel])], ["positive in", percent(told.active)],
      ["mean", short(told.mean)], told.ties ? ["as strong as the last", `${told.ties} more images`] : null,
      told.nan ? ["NaN", told.nan] : null].filter(Boolean);
    const ordinal = (_, i) => `${i + 1}`;
    const near = (some) => el("ul", { class: "near" }, some.map(([channel, r]) => thumbnail(place(unit, channel), signed(r))));
    const at = layers.findIndex((one) => one.name === layer.at);
    return [
      el("dl", { class: "facts" }, counters.map(([name, value]) => [el("dt", {}, name), el("dd", {}, String(value))])),
      alive ? el("div", { class: "row" }, sprites(unit, "strongest", data, told.strongest.map(ordinal)))
        : el("p", {}, "No image of the data set makes this unit positive."),
      alive ? images(unit, data) : null,
      told.lowest?.length ? section(`Lowest${layer.lowest_of === layer.name ? "" : `, of ${layer.lowest_of}`}`,
        el("div", { class: "row" }, sprites(unit, "lowest", data, told.lowest.map(ordinal)))) : null,
      told.spectrum?.length ? section("The range: images at quantiles of a random sample",
        el("div", { class: "column" }, sprites(unit, "spectrum", data, atlas.quantiles)),
        el("p", { class: "quiet" }, `From left to right: ${atlas.quantiles.map((q, i) => `${q}: ${short(told.spectrum[i][1])}`).join("; ")}`)) : null,
      told.histogram ? section("Activations in a random sample", histogram(told.histogram)) : null,
      told.near?.length ? section("Channels that respond alike", el("p", { class: "quiet" }, "Correlation over the random sample."), near(told.near)) : null,
      told.opposite?.length ? section("Most opposite channels", near(told.opposite)) : null,
      told.feeds ? section(`What feeds it, in ${layer.at}`, el("p", { class: "quiet" }, "Share of the activation, mean of the images above."),
        el("ul", { class: "near" }, told.feeds.map(([channel, share]) => at >= 0 ? thumbnail({ layer: at, channel }, signed(share))
          : el("li", {}, `${layer.at}:${channel} ${signed(share)}`)))) : null,
      alive ? el("section", {}, drawn(unit)) : null, own(unit)];
  }
  const article = document.getElementById("unit"), overview = document.getElementById("overview"), title = document.title;
  let current = null, kept = false;
  async function render() {
    const asked = location.hash.length > 1 ? unitOf(location.hash) : null, unit = current = asked;
    if (viewer.open) viewer.close();
    overview.hidden = Boolean(unit);
    article.hidden = !unit;
    document.title = unit ? `${named(unit)}: ${title}` : title;
    if (!unit) { listed(location.hash.includes(":") ? `There is no unit ${location.hash.slice(1)} here.` : ""); return; }
    const heading = el("h1", { tabindex: -1 }, named(unit)), top = kept ? scrollY : 0;
    let inside;
    try {
      const data = await chunk(unit);
      inside = body(unit, { unit: data.units[unit.channel % atlas.chunk], images: data.images });
    } catch (error) { inside = [el("p", { role: "alert" }, error.message)]; }
    if (current !== unit) return; // another unit was asked for meanwhile
    article.replaceChildren(ways(unit), heading, ...inside.filter(Boolean));
    article.dataset.unit = named(unit);
    heading.focus({ preventScroll: true });
    scrollTo(0, top);
    kept = false;
  }
  function listed(message) {
    document.getElementById("own")?.remove();
    const all = [...notes()].filter(([unit]) => unitOf(unit));
    overview.append(el("section", { id: "own" }, el("h2", {}, "Your notes"), el("p", { role: "status" }, message),
      el("ul", {}, all.map(([unit, one]) => el("li", {}, el("a", { href: hash(unitOf(unit)) }, unit), " ", one.label, " ", el("span", { class: "quiet" }, one.note)))),
      all.length ? null : el("p", { class: "quiet" }, "None yet: the page of a unit takes a label and a note, which stay in this browser."),
      exchange(listed)));
  }
  function move(channels, up) {
    const layer = current.layer + up;
    if (layer < 0 || layer >= layers.length) return;
    const channel = Math.min(current.channel, layers[layer].strengths.length - 1) + channels;
    if (channel < 0 || channel >= layers[layer].strengths.length) return;
    kept = true;
    location.hash = hash({ layer, channel });
  }

  // ---- the page of a layer
  const FILTER = "deconvnet-atlas-filter";
  const cards = [...document.querySelectorAll(".card")], number = Number(page.layer);
  function passes(channel, wanted, all) {
    const strength = layers[number].strengths[channel], own = all.get(named({ layer: number, channel }));
    return (wanted.which !== "alive" || strength != null) && (wanted.which !== "dead" || strength == null) &&
      (wanted.least === "" || (strength ?? -Infinity) >= Number(wanted.least)) &&
      (wanted.label === "" || Boolean(own && own.label.toLowerCase().includes(wanted.label.toLowerCase())));
  }
  function filters() {
    let wanted = { which: "all", least: "", label: "" };
    try { wanted = { ...wanted, ...JSON.parse(sessionStorage.getItem(FILTER) || "{}") }; } catch { /* not kept */ }
    const which = el("select", { id: "which" }, [["all", "all units"], ["alive", "positive at least once"], ["dead", "dead"]]
      .map(([value, text]) => el("option", { value, selected: value === wanted.which }, text)));
    const least = el("input", { id: "least", type: "number", min: 0, step: "any", value: wanted.least });
    const label = el("input", { id: "with-label", value: wanted.label });
    const status = el("p", { role: "status", id: "shown" });
    const clear = el("button", { type: "button", on: { click: () => { which.value = "all"; least.value = label.value = ""; apply(); } } }, "Show all");
    function apply() {
      wanted = { which: which.value, least: least.value, label: label.value };
      try { sessionStorage.setItem(FILTER, JSON.stringify(wanted)); } catch { /* then not */ }
      const all = notes(), first = Number(page.first);
      cards.forEach((card, i) => {
        card.hidden = !passes(first + i, wanted, all);
        card.querySelector(".label").textContent = (all.get(named({ layer: number, channel: first + i })) || {}).label || "";
      });
      const count = layers[number].strengths.length, elsewhere = [];
      for (let start = 0; start < count; start += atlas.page) {
        if (start === first) continue;
        let passing = 0;
        for (let c = start; c < Math.min(count, start + atlas.page); c += 1) passing += passes(c, wanted, all);
        if (passing) elsewhere.push(el("a", { href: `${number}-${start / atlas.page}.html` }, `${start}–${Math.min(count, start + atlas.page) - 1}: ${passing}`), " ");
      }
      status.replaceChildren(`${cards.filter((card) => !card.hidden).length} of ${cards.length} units of this page`,
        ...(elsewhere.length ? ["; on other pages ", ...elsewhere] : []));
    }
    const form = el("form", { class: "filters", on: { input: apply, change: apply, submit: (event) => event.preventDefault() } },
      el("label", {}, "show ", which), el("label", {}, "strength at least ", least), el("label", {}, "label has ", label), clear, status);
    document.getElementById("filters").append(form);
    apply();
    addEventListener("pageshow", apply); // labels may have been given since
  }
  function step(channels, up) {
    const there = cards.filter((card) => !card.hidden), here = document.activeElement.closest(".card");
    if (up && here && layers[number + up]) location.href = `${number + up}-0.html`;
    if (!up) (there[there.indexOf(here) + channels] || there[here ? there.indexOf(here) : 0])?.querySelector("a").focus();
    return Boolean(!up || here);
  }

  // ---- keys
  const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || help.open) return;
    if (viewer.open) {
      if (ARROWS[event.key]?.[0]) { photograph(ARROWS[event.key][0]); event.preventDefault(); }
      return;
    }
    if (event.target.closest("input, textarea, select, #results")) return;
    if (event.key === "/") document.getElementById("search").focus();
    else if (event.key === "?") help.showModal();
    else if (event.key === "Escape" && current) location.href = pageOf(current);
    else if (ARROWS[event.key] && current) move(...ARROWS[event.key]);
    else if (ARROWS[event.key] && page.page === "layer" && step(...ARROWS[event.key])) { /* done */ }
    else return;
    event.preventDefault();
  });

  const tools = document.getElementById("tools");
  tools.append(...search(), el("button", { type: "button", "aria-label": "Help: keys", on: { click: () => help.showModal() } }, "?"));
  document.body.append(help, viewer);
  if (page.page === "layer") filters();
  else { addEventListener("hashchange", render); render(); }
})();
