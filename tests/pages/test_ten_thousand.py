"""Ten thousand units: sizes of files, and that a browser opens and scrolls them."""

import time

import pytest

import deconvnet as dn
from tests.support.browser import browser, complaints, visit
from tests.support.drawn_stores import drawn

LAYERS = {"layer1": 4096, "layer2": 4096, "layer3": 1808}
MB = 1_000_000


@pytest.mark.slow
def test_ten_thousand_units_open_and_scroll(tmp_path, record_property):
    """How long that takes is recorded, not asserted; that all is there is."""
    store = drawn(tmp_path / "top.h5", LAYERS, k=3, field=(6, 6), sample=64, images=64)
    began = time.perf_counter()
    folder = dn.atlas(store, tmp_path / "atlas", progress=False).path
    seconds = {"build": time.perf_counter() - began}
    sizes = {p.relative_to(folder).as_posix(): p.stat().st_size for p in folder.rglob("*.*")}
    assert sum(name.startswith("sprites/") for name in sizes) == 20_000
    assert sizes["index.html"] + sizes["data/index.js"] < 2 * MB
    assert max(sizes.values()) < 20 * MB
    with browser() as driver:
        for page in ("index.html", "layers/0-0.html", "index.html#layer2:4095"):
            began = time.perf_counter()
            driver.get("about:blank")
            file, *fragment = page.partition("#")
            visit(driver, (folder / file).as_uri() + "".join(fragment))
            while "#" in page and "layer2:4095" not in driver.title:
                time.sleep(0.02)
            seconds[page] = time.perf_counter() - began
        visit(driver, (folder / "layers/0-0.html").as_uri())
        loaded = "return [...document.images].filter((i) => i.naturalWidth).length"
        assert driver.execute_script(loaded) < 1000  # the rest waits until it is near
        began = time.perf_counter()
        for card in range(0, 500, 25):
            to = f"document.getElementById('u{card}').scrollIntoView()"
            driver.execute_async_script(f"{to}; requestAnimationFrame(() => arguments[0]())")
        seconds["scroll"] = time.perf_counter() - began
        last = "return document.querySelector('#u475 img').naturalWidth"
        while not driver.execute_script(last):
            time.sleep(0.02)
        began = time.perf_counter()
        box = driver.find_element("css selector", "#search")
        box.send_keys("layer3:1807")
        found = [e.text for e in driver.find_elements("css selector", "#results a")]
        seconds["search"] = time.perf_counter() - began
        assert found == ["layer3:1807"]
        assert complaints(driver) == []
    seconds = {name: round(value, 2) for name, value in seconds.items()}
    record_property("seconds", seconds)
    record_property("bytes", {"all": sum(sizes.values()), "index": sizes["data/index.js"]})
