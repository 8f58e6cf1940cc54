from report.page import Html, link, put, table, tag


def test_text_is_escaped_and_markup_is_not() -> None:
    assert tag("p", "a < b", Html("<i>c</i>")) == "<p>a &lt; b<i>c</i></p>"
    assert tag("img", alt='"><script>') == '<img alt="&quot;&gt;&lt;script&gt;">'


def test_numbers_are_set_for_people() -> None:
    assert [put(value) for value in (1234567, 0.123456, None, True)] == [
        "1,234,567", "0.1235", "–", "yes",
    ]  # fmt: skip


def test_only_web_pages_are_links() -> None:
    assert link("https://a.example/x").startswith("<a ")
    for bad in ("javascript:alert(1)", "data:text/html,x", "//a.example", "http://[", None):
        assert "<a" not in link(bad)


def test_columns_of_numbers_are_marked() -> None:
    assert '<td>oak</td><td class="n">1,000</td>' in table(["", "n"], [("oak", 1000)])
