"""The atlas in Chromium, opened from disk: links, keys, search, notes, filters, hostile names."""

import json
import re
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

import pytest
import torch

import deconvnet as dn
from deconvnet import Preprocessing
from deconvnet.arguments import numeral
from tests.support.browser import browser, complaints, painted, until, visit
from tests.support.drawn_stores import INPUT, drawn

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")
HOSTILE = "../../x<script>document.title='broken'</script>"
CELLS = "return [...document.querySelectorAll('#unit td:nth-child(2)')].map((e) => e.textContent)"
NAMES = {
    0: 'it\'s "quoted".png',
    1: "目录/照片.png",
    2: "<img src=x onerror=\"document.title='broken'\">.png",
    3: "</script><script>document.title='broken'</script>.png",
    4: "line\u2028ends & more.png",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """An atlas of a plain layer, one of a hostile name, and one of several pages."""
    place = tmp_path_factory.mktemp("browser")
    layers = {"relu1": 12, HOSTILE: 5, "features.2/relu": 520}
    store = drawn(place / "top.h5", layers, k=4, images=12, names=NAMES, dead=(2, 4), sample=8)
    dn.atlas(store, place / "atlas", progress=False)
    return place / "atlas"


@pytest.fixture(scope="module")
def chromium():
    with browser() as driver:
        yield driver


@pytest.fixture
def opened(chromium, folder):
    """Open a page of the atlas afresh; afterwards the browser must not have complained."""

    def go(page="index.html"):
        chromium.get("about:blank")
        file, *fragment = page.partition("#")
        return visit(chromium, (folder / file).as_uri() + "".join(fragment))

    chromium.get((folder / "index.html").as_uri())
    chromium.execute_script("localStorage.clear(); sessionStorage.clear()")
    complaints(chromium)
    yield go
    assert complaints(chromium) == []


def find(driver, selector):
    return driver.find_element("css selector", selector)


def texts(driver, selector):
    return [one.text for one in driver.find_elements("css selector", selector)]


def press(driver, *keys):
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.keys import Keys

    for key in keys:
        ActionChains(driver).send_keys(getattr(Keys, key, key)).perform()


def unit(driver, name):
    """Wait until the page of this unit is there."""
    until(driver, lambda d: find(d, "#unit").get_attribute("data-unit") == name)
    return painted(driver)


def linked(driver, folder):
    """{files that links, pictures, scripts and styles of a page name}, below the folder."""
    script = "return [...document.querySelectorAll('[href],[src]')].map((e) => e.href || e.src)"
    for address in driver.execute_script(script):
        parts = urlsplit(address)
        if parts.scheme == "file":
            yield Path(unquote(parts.path)), unquote(parts.fragment)


def dead_links(driver, folder):
    """What leads nowhere: files that are not there, or fragments that no page has."""
    lost = []
    for path, fragment in set(linked(driver, folder)):
        known = not fragment or path.name == "index.html" or f'id="{fragment}"' in path.read_text()
        if not (path.is_file() and folder in path.parents and known):
            lost.append((str(path), fragment))
    return lost


PAGES = ("index.html", "index.html#relu1:0", "index.html#relu1:2", "layers/0-0.html")
PAGES += (
    "layers/1-0.html",
    "layers/2-0.html",
    "layers/2-1.html",
    "index.html#features.2%2Frelu:519",
)


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_to_what_is_there(opened, folder, page):
    driver = opened(page)
    if "#" in page:
        unit(driver, unquote(page.partition("#")[2]))
    assert dead_links(driver, folder) == []
    script = (
        "return [...document.images].filter((i) => i.complete && i.src && !i.naturalWidth).length"
    )
    assert driver.execute_script(script) == 0


def test_a_dead_link_would_be_caught(opened, folder):
    driver = opened("index.html")
    add = "const a = document.createElement('a'); a.href = arguments[0]; document.body.append(a)"
    for wrong in ("layers/9-0.html", "../top.h5", "layers/0-0.html#u99"):
        driver.execute_script(add, wrong)
    assert len(dead_links(driver, folder)) == 3


def test_a_unit_shows_what_the_store_holds(opened, folder):
    driver = unit(opened("index.html#relu1:3"), "relu1:3")
    store = dn.open_store(folder.parent / "top.h5")
    table = store["relu1"]
    said = [
        e.get_attribute("aria-label")
        for e in driver.find_elements("css selector", ".strongest .cells > *")
    ]
    assert len(said) == 8  # patches, and projections
    for slot, label in enumerate(said[:4]):
        name = store.images[int(table.image[3, slot])]
        value = numeral(table.activation[3, slot])
        assert label == f"{slot + 1}: patch of relu1:3 in {name}, activation {value}"
    assert find(driver, "#shell").text.startswith(
        "deconvnet exemplars top.h5 --layer relu1 --channels 3 "
    )
    assert find(driver, "#python").text.startswith("dn.exemplars('top.h5', 'relu1', 3, ")
    assert "No image" in unit(opened("index.html#relu1:2"), "relu1:2").page_source
    assert "There is no unit relu1:99 here." in find(opened("index.html#relu1:99"), "#own").text


def test_arrows_move_among_units_and_layers(opened):
    driver = unit(opened("index.html#relu1:0"), "relu1:0")
    press(driver, "ARROW_RIGHT")
    unit(driver, "relu1:1")
    press(driver, "ARROW_LEFT")
    unit(driver, "relu1:0")
    press(driver, "ARROW_LEFT")  # there is none before the first
    unit(driver, "relu1:0")
    press(driver, "ARROW_UP")
    unit(driver, f"{HOSTILE}:0")
    press(driver, "ARROW_DOWN")
    unit(driver, "relu1:0")
    driver.back()
    unit(driver, f"{HOSTILE}:0")
    press(driver, "ESCAPE")
    until(driver, lambda d: d.current_url.endswith("layers/1-0.html#u0"))


def test_the_channel_of_a_smaller_layer_is_its_last(opened):
    driver = unit(opened("index.html#features.2%2Frelu:519"), "features.2/relu:519")
    press(driver, "ARROW_DOWN")
    unit(driver, f"{HOSTILE}:4")


def test_search_finds_units_and_labels(opened):
    driver = opened("layers/0-0.html")
    press(driver, "/", "r", "e", "l", "u", "1", ":", "1")
    found = texts(driver, "#results a")
    assert found == ["relu1:1", "relu1:10", "relu1:11"]
    press(driver, "ENTER")
    unit(driver, "relu1:1")
    label = find(driver, "#label")
    label.send_keys("stripes")
    press(driver, "TAB")
    driver = opened("layers/2-0.html")
    press(driver, "/", "S", "t", "r", "i")
    assert texts(driver, "#results a") == ["relu1:1 stripes"]
    press(driver, "x")
    assert texts(driver, "#results li") == ["no unit, label or note has this"]
    press(driver, "ESCAPE")
    assert not find(driver, "#results").is_displayed()


def test_help_opens_and_closes(opened):
    driver = opened("index.html")
    press(driver, "?")
    assert "unit before, unit after" in find(driver, "#help").text
    press(driver, "ESCAPE")
    assert not find(driver, "#help").is_displayed()


def test_keys_are_letters_while_something_is_typed(opened):
    driver = unit(opened("index.html#relu1:5"), "relu1:5")
    note = find(driver, "#note")
    note.send_keys("a/b?")
    press(driver, "ARROW_RIGHT", "ARROW_UP")
    unit(driver, "relu1:5")
    assert note.get_attribute("value") == "a/b?"


def test_notes_stay_and_are_exported(opened, chromium, tmp_path):
    chromium.execute_cdp_cmd(
        "Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(tmp_path)}
    )
    driver = unit(opened(f"index.html#{quote(HOSTILE, safe='')}:1"), f"{HOSTILE}:1")
    find(driver, "#note").send_keys("<b>bold</b> 照")
    press(driver, "TAB")
    driver = opened("index.html")
    assert "<b>bold</b> 照" in find(driver, "#own").text
    find(driver, "#export").click()
    until(driver, lambda _: (tmp_path / "atlas-notes.json").exists())
    told = json.loads((tmp_path / "atlas-notes.json").read_text())
    assert {"unit": f"{HOSTILE}:1", "label": "", "note": "<b>bold</b> 照"} in told["units"]
    driver.execute_script("localStorage.clear()")
    driver = opened("index.html")
    assert "None yet" in find(driver, "#own").text
    find(driver, "#notes-file").send_keys(str(tmp_path / "atlas-notes.json"))
    until(driver, lambda d: "notes were read" in d.page_source)
    assert "<b>bold</b> 照" in find(driver, "#own").text
    driver.execute_script("localStorage.clear()")


def shown(driver):
    return [e.text for e in driver.find_elements("css selector", ".card:not([hidden]) h2")]


def test_filters_by_strength_dead_and_label(opened, folder):
    from selenium.webdriver.support.ui import Select

    driver = opened("layers/2-1.html")
    table = dn.open_store(folder.parent / "top.h5")["features.2/relu"]
    find(driver, "#least").send_keys("7.5")
    strong = [c for c in range(520) if table.nonzero[c] and table.activation[c, 0] >= 7.5]
    assert shown(driver) == [str(c) for c in strong if c >= 500]
    elsewhere = sum(c < 500 for c in strong)
    assert find(driver, "#shown").text.endswith(f"on other pages 0–499: {elsewhere}")
    driver = opened("layers/0-0.html")  # the filter is kept
    assert find(driver, "#least").get_attribute("value") == "7.5"
    find(driver, ".filters button").click()
    assert len(shown(driver)) == 12
    Select(find(driver, "#which")).select_by_value("dead")
    assert shown(driver) == ["2", "4"]
    find(driver, ".filters button").click()
    find(driver, "#with-label").send_keys("nothing has this")
    assert shown(driver) == []
    find(driver, ".filters button").click()


def test_arrows_move_among_the_units_of_a_page(opened):
    driver = opened("layers/0-0.html")
    press(driver, "ARROW_RIGHT", "ARROW_RIGHT", "ARROW_RIGHT", "ARROW_LEFT", "ENTER")
    unit(driver, "relu1:1")


def test_names_stay_text(opened, folder):
    """No element is made of a name, no script of one runs, no file is called by one."""
    for page in ("index.html", "layers/1-0.html"):
        driver = opened(page)
        assert HOSTILE in driver.execute_script("return document.body.innerText")
        assert driver.execute_script("return document.querySelectorAll('body script').length") == 0
    driver = opened("layers/1-0.html")
    press(driver, "ARROW_RIGHT", "ENTER")
    unit(driver, f"{HOSTILE}:0")
    assert find(driver, "#unit h1").text == f"{HOSTILE}:0"
    table, seen, held = dn.open_store(folder.parent / "top.h5")[HOSTILE], set(), set()
    for channel in (0, 1, 3):
        driver.execute_script("location.hash = arguments[0]", f"#{HOSTILE}:{channel}")
        unit(driver, f"{HOSTILE}:{channel}")
        find(driver, "summary").click()
        seen |= set(driver.execute_script(CELLS))
        held |= {NAMES.get(i, f"{i}.png") for i in table.image[channel].tolist()}
        assert driver.execute_script("return document.querySelectorAll('[onerror]').length") == 0
        assert driver.title != "broken"
    assert seen == held
    assert len(seen & set(NAMES.values())) >= 3
    assert all(re.fullmatch(r"[\w.-]+", path.name) for path in folder.rglob("*"))
    assert sorted(p.name for p in folder.parent.iterdir()) == ["atlas", "top.h5"]


@pytest.mark.parametrize("with_policy", [True, False])
def test_the_policy_stops_what_an_unescaped_name_would_run(chromium, folder, tmp_path, with_policy):
    """Planted: a page with the markup of a hostile name runs it only without its policy."""
    text = (folder / "index.html").read_text()
    policy = re.search(r'<meta http-equiv="Content-Security-Policy"[^>]*>', text)[0]
    planted = text.replace("</h1>", "</h1><script>document.title='run'</script>")
    page = tmp_path / "index.html"
    page.write_text(planted if with_policy else planted.replace(policy, ""))
    chromium.get(page.as_uri())
    assert (chromium.title == "run") != with_policy
    complaints(chromium)


class Data(list):
    """The data set of a store whose model nobody has."""

    preprocessing = Preprocessing(INPUT, None, 3 * (0.5,), 3 * (0.5,))


def test_a_patch_opens_its_photograph_with_the_field(chromium, tmp_path):
    store = drawn(tmp_path / "top.h5", {"relu": 2}, k=3, images=4)
    made = dn.atlas(store, tmp_path / "atlas", data=Data(torch.zeros(4, 3, *INPUT)), progress=False)
    assert made.photographs >= 3
    visit(chromium, (made.path / "index.html").as_uri() + "#relu:1")
    unit(chromium, "relu:1").find_elements("css selector", ".cells button")[1].click()
    for slot, key in ((1, "ARROW_RIGHT"), (2, "ARROW_RIGHT"), (2, "ESCAPE")):  # no fourth
        box = store["relu"].box_of(1, slot)
        frame = find(chromium, "#photograph rect")
        drawn_at = [int(frame.get_attribute(name)) for name in ("y", "x", "height", "width")]
        assert drawn_at == [*box.start, *box.size]
        name = f"photographs/{store['relu'].image[1, slot]}.webp"
        assert find(chromium, "#photograph img").get_property("src").endswith(name)
        press(chromium, key)
    assert not find(chromium, "#photograph").is_displayed()
    assert complaints(chromium) == []


def test_the_pages_of_layers_need_no_scripts(folder):
    with browser(scripts=False) as driver:
        visit(driver, (folder / "index.html").as_uri())
        assert "The pages of layers need no scripts" in find(driver, "noscript").text
        driver.find_element("link text", "relu1").click()
        assert len(texts(driver, ".card h2")) == 12
        pictures = driver.find_elements("css selector", ".card img")
        assert len(pictures) == 20
        assert pictures[0].get_attribute("alt").startswith("relu1:0, strongest patches: ")
        assert int(pictures[0].get_property("naturalWidth")) == 30
