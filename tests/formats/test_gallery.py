"""The page of meshes: complete, escaped, asks the network for nothing, usable with a keyboard."""

import base64
from html.parser import HTMLParser

from parts import picture, quad

from polyglyph.formats.gallery import GalleryItem, gallery_html
from polyglyph.formats.glb import encode_glb
from polyglyph.formats.png import encode_image, encode_png

VOID = {"meta", "link", "img", "br", "input"}


class Page(HTMLParser):
    """Elements with their attributes and text; complains about a tag closed out of order."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.open = [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append({"tag": tag, "text": "", **dict(attrs)})
        if tag not in VOID:
            self.open.append((tag, self.elements[-1]))

    def handle_endtag(self, tag):
        assert self.open
        assert self.open.pop()[0] == tag

    def handle_data(self, data):
        if self.open:
            self.open[-1][1]["text"] += data

    def all(self, tag, **attributes):
        return [
            row
            for row in self.elements
            if row["tag"] == tag and all(row.get(key) == value for key, value in attributes.items())
        ]


def page():
    glb = encode_glb([quad()])
    items = [
        GalleryItem("Chair", encode_png(picture()), glb, "red & soft"),
        GalleryItem("<script>alert(1)</script>", encode_image(picture(), ".webp"), None, 'a "quote"'),
        GalleryItem("{{cards}}", None, glb),
    ]
    return glb, gallery_html("Four <chairs> {{notes}}", items, "First.\n\nSecond & last.")


def test_the_page_holds_every_picture_and_mesh():
    glb, text = page()
    found = Page(text)
    assert [base64.b64decode(row["text"]) for row in found.all("script", type="text/plain")] == [glb, glb]
    sources = [row["src"].split(",")[0] for row in found.all("img")]
    assert sources == ["data:image/png;base64", "data:image/webp;base64"]
    assert base64.b64decode(found.all("img")[0]["src"].split(",")[1]) == encode_png(picture())
    assert [row["data-model"] for row in found.all("button", **{"class": "card"})] == ["model-0", "model-2"]


def test_names_titles_and_notes_stay_text():
    found = Page(page()[1])
    assert found.all("title")[0]["text"] == "Four <chairs> {{notes}}"
    assert [row["text"] for row in found.all("p")][:2] == ["First.", "Second & last."]
    assert [row["text"] for row in found.all("span", **{"class": "name"})] == [
        "Chair",
        "<script>alert(1)</script>",
        "{{cards}}",
    ]


def test_every_picture_has_words_and_every_button_a_name():
    found = Page(page()[1])
    assert [row["alt"] for row in found.all("img")] == [
        "Picture of Chair: red & soft",
        'Picture of <script>alert(1)</script>: a "quote"',
    ]
    for button in found.all("button"):
        assert button.get("aria-label") or button.get("title")
    assert found.all("html")[0]["lang"] == "en"
    assert found.all("dialog")[0]["aria-labelledby"] == found.all("h2")[0]["id"]


def test_nothing_is_asked_from_the_network():
    found = Page(page()[1])
    for row in found.elements:
        for attribute in ("src", "href"):
            assert row.get(attribute) is None or row[attribute].startswith("data:")
    (policy,) = [
        row["content"] for row in found.all("meta") if row.get("http-equiv") == "Content-Security-Policy"
    ]
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == "'none'"
    assert rules["connect-src"] == "data: blob:"
    assert "http" not in policy
    assert "sourceMappingURL" not in page()[1]


def test_light_and_dark_are_both_there():
    assert "prefers-color-scheme: dark" in page()[1]
    assert Page(page()[1]).all("meta", name="color-scheme")[0]["content"] == "light dark"


def test_a_page_without_meshes_carries_no_viewer():
    text = gallery_html("Pictures", [GalleryItem("A", encode_png(picture()), None)])
    assert len(text) < 20_000
    assert Page(text).all("script") == []
    assert Page(gallery_html("Nothing", [])).all("li") == []
