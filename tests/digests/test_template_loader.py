"""Templates are found, checked, compiled once and kept."""

from pathlib import Path
from types import SimpleNamespace

import jinja2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from markupsafe import Markup

from paperround.bundled_files import bundled
from paperround.digests import template_loader
from paperround.digests.lean_jinja import LeanCode, encoded, kept_by
from paperround.digests.template_loader import TemplateLoader, Templates
from paperround.errors import ConfigError, TemplateError

MAIL = """<mjml lang="{{ language }}" dir="ltr">
<mj-head>
  <mj-title>{{ title }}</mj-title>
  <mj-attributes><mj-all font-family="serif" /></mj-attributes>
  <mj-style inline="inline">.x { color: {{ colour }}; } .unused { color: {{ colour }}; }</mj-style>
</mj-head>
<mj-body><mj-section><mj-column><mj-raw>
ROWS
</mj-raw></mj-column></mj-section></mj-body>
</mjml>
"""
ROWS = """{% for row in rows if row.n < 3 and row.n > 0 %}
<tr><td class="x">{{ row.text }}</td></tr>
{% endfor %}"""


def folder(path: Path, **files: str) -> Path:
    """`mail_mjml` stands for email/mail.mjml.j2."""
    for name, text in files.items():
        target = path / "email" / f"{name.replace('_', '.')}.j2"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
    return path


def mail(rows: str) -> str:
    return MAIL.replace("ROWS", rows)


def rendered(templates: Templates, name: str = "email/mail.mjml.j2") -> str:
    rows = [SimpleNamespace(n=n, text=f"<row {n}>") for n in range(5)]
    return templates.get(name).render(language="de", title='A "title"', colour="#123456", rows=rows)


def test_jinja_survives_mjml_and_inlining(tmp_path: Path) -> None:
    html = rendered(TemplateLoader([folder(tmp_path, mail_mjml=mail(ROWS))]).load())
    assert html.count('<td class="x" style="color:#123456">') == 2
    assert html.index("<tbody>") < html.index("&lt;row 1&gt;") < html.index("&lt;row 2&gt;") < html.index("</tbody>")
    assert 'lang="de"' in html
    assert "A &#34;title&#34;" in html
    assert "jj0" not in html


def test_no_compiled_template_fetches_a_style(templates: Templates) -> None:
    for name in templates.names:
        if name.endswith(".mjml.j2"):
            source = templates.environment.loader.get_source(templates.environment, name)[0]  # type: ignore[union-attr]
            assert "<link" not in source
            assert "@import" not in source


def test_indentation_costs_no_bytes(templates: Templates) -> None:
    source = templates.environment.loader.get_source(templates.environment, "email/digest.mjml.j2")[0]  # type: ignore[union-attr]
    assert [line for line in source.splitlines() if line.startswith(" ")] == []


@pytest.mark.parametrize(
    ("text", "line", "tag"),
    [
        (mail("{% for x in rows %}"), 9, "endfor"),
        (mail("\n\n{{ title"), 8, ""),
        (MAIL.replace("mj-section", "mj-sektion").replace("ROWS", ""), 7, "<mj-sektion>"),
        (MAIL.replace("</mj-column>", "").replace("ROWS", ""), 9, "</mj-section>"),
        (mail("<td{% if rows %} class='x'{% endif %}></td>"), 8, "{% if rows %}"),
        (MAIL.replace("<mj-title>", "<mj-title>{% if title %}x{% endif %}").replace("ROWS", ""), 3, "{% if title %}"),
        (MAIL.replace("<mj-section>", "{{ lost }}<mj-section>").replace("ROWS", ""), 7, "{{ lost }}"),
    ],
)
def test_a_broken_template_is_named_with_file_line_and_tag(tmp_path: Path, text: str, line: int, tag: str) -> None:
    loader = TemplateLoader([folder(tmp_path, mail_mjml=text)])
    with pytest.raises(TemplateError) as caught:
        loader.load().get("email/mail.mjml.j2")
    place = str(tmp_path / "email" / "mail.mjml.j2")
    assert str(caught.value).startswith(f"{place}:")
    if tag:
        assert str(caught.value).startswith(f"{place}:{line}: ")
    assert tag in str(caught.value)


def test_a_template_that_is_not_there_is_named() -> None:
    with pytest.raises(TemplateError, match="email/nothing"):
        TemplateLoader([bundled("templates")]).load().get("email/nothing.txt.j2")


def test_a_template_that_is_no_text_is_named(tmp_path: Path) -> None:
    folder(tmp_path, mail_txt="")
    (tmp_path / "email" / "mail.txt.j2").write_bytes(b"\xff\xfe")
    with pytest.raises(TemplateError, match=r"mail\.txt\.j2"):
        TemplateLoader([tmp_path]).load()


def test_an_operators_template_wins_over_ours_of_the_same_name(tmp_path: Path) -> None:
    theirs, ours = folder(tmp_path / "theirs", mail_txt="theirs"), folder(tmp_path / "ours", mail_txt="ours", other_txt="ours")
    loader = TemplateLoader([theirs, ours])
    templates = loader.load()
    assert [templates.get(f"email/{name}.txt.j2").render() for name in ("mail", "other")] == ["theirs", "ours"]
    assert [(each.name, each.path.parts[-3], each.overridden) for each in loader.listing()] == [
        ("email/mail.txt.j2", "theirs", True),
        ("email/other.txt.j2", "ours", False),
    ]


def test_an_operators_template_runs_in_a_sandbox(tmp_path: Path) -> None:
    escape = "{{ ''.__class__.__mro__[1].__subclasses__()|length }}"
    theirs, ours = folder(tmp_path / "theirs", mail_txt=escape), folder(tmp_path / "ours", other_txt="ours")
    with pytest.raises(Exception, match="unsafe"):
        TemplateLoader([theirs, ours]).load().get("email/mail.txt.j2").render()


def test_html_is_escaped_and_text_is_not(tmp_path: Path) -> None:
    templates = TemplateLoader([folder(tmp_path, a_txt="{{ x }}", b_html="{{ x }}", c_xml="{{ x }}")]).load()
    assert [templates.get(f"email/{name}.j2").render(x="<&") for name in ("a.txt", "b.html", "c.xml")] == ["<&", "&lt;&amp;", "&lt;&amp;"]


def test_a_misspelt_variable_is_an_error_and_not_a_hole(tmp_path: Path) -> None:
    templates = TemplateLoader([folder(tmp_path, a_txt="{{ titel }}")]).load()
    with pytest.raises(Exception, match="titel"):
        templates.get("email/a.txt.j2").render(title="x")


def test_a_kept_template_is_not_compiled_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    templates, cache = folder(tmp_path / "t", mail_mjml=mail(ROWS)), tmp_path / "cache"
    first = rendered(TemplateLoader([templates], cache).load())
    monkeypatch.setattr(template_loader, "compile_mjml", lambda *_: pytest.fail("compiled again"))
    assert rendered(TemplateLoader([templates], cache).load()) == first
    folder(tmp_path / "t", mail_mjml=mail("changed"))
    with pytest.raises(pytest.fail.Exception):
        rendered(TemplateLoader([templates], cache).load())


def test_a_cache_that_cannot_be_written_costs_nothing_but_time(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    templates = TemplateLoader([folder(tmp_path / "t", mail_mjml=mail(ROWS))], tmp_path / "file" / "cache").load()
    assert "&lt;row 1&gt;" in rendered(templates)


def test_templates_are_read_once(tmp_path: Path) -> None:
    loader = TemplateLoader([folder(tmp_path, mail_txt="before")])
    loader.load()
    folder(tmp_path, mail_txt="after")
    assert loader.load().get("email/mail.txt.j2").render() == "before"


def test_a_shared_part_is_taken_from_the_templates_and_from_nowhere_else(tmp_path: Path) -> None:
    secret = tmp_path / "secret.mjml"
    secret.write_text("<mj-text>secret</mj-text>")
    part = folder(tmp_path / "t", mail_txt="")
    (part / "email" / "_part.mjml.j2").write_text("<mj-text>\nshared {{ title }}</mj-text>")
    include = '<mj-section><mj-column><mj-include path="%s" />'
    good = mail("").replace("<mj-section><mj-column>", include % "email/_part.mjml.j2")
    templates = TemplateLoader([folder(part, mail_mjml=good)]).load()
    assert "shared A &#34;title&#34;" in rendered(templates)
    assert "email/_part.mjml.j2" not in templates.names
    with pytest.raises(TemplateError, match="there is no template"):
        rendered(TemplateLoader([folder(part, mail_mjml=good.replace("email/_part.mjml.j2", str(secret)))]).load())
    with pytest.raises(TemplateError, match="<mj-include> is no element"):
        rendered(TemplateLoader([folder(part, mail_mjml=good.replace('"email/_part.mjml.j2"', f"'{secret}'"))]).load())


def test_a_statement_may_stand_within_a_value(tmp_path: Path) -> None:
    row = '<tr><td title="{% if rows %}a{% endif %}">{{ title }}</td></tr>'
    assert '<td title="a">A &#34;title&#34;' in rendered(TemplateLoader([folder(tmp_path, mail_mjml=mail(row))]).load())


def test_a_fault_while_rendering_is_named_with_the_line_it_was_written_in(tmp_path: Path) -> None:
    rows = "<tr><td>\n{% for row in rows %}\n<p>{{ row.text }}</p>\n{{ row.txet }}\n{% endfor %}\n</td></tr>"
    templates = TemplateLoader([folder(tmp_path, mail_mjml=mail(rows), note_txt="fine\n{{ titel }}")]).load()
    line = mail(rows).split("\n").index("{{ row.txet }}") + 1
    with pytest.raises(TemplateError, match=rf"mail\.mjml\.j2:{line}: {{{{ row\.txet }}}}: .*txet"):
        rendered(templates)
    with pytest.raises(TemplateError, match=r"note\.txt\.j2:2: {{ titel }}: 'titel' is undefined"):
        templates.get("email/note.txt.j2").render(title="x")


def test_the_line_of_a_tag_costs_no_space_around_it(tmp_path: Path) -> None:
    rows = "<tr><td>a\n{%- if rows %}\n b\n{%- endif -%}\n c {{- title -}} d</td></tr>"
    html = rendered(TemplateLoader([folder(tmp_path, mail_mjml=mail(rows))]).load())
    assert "<td>ab" in html.replace("\n", "").replace(" ", "")
    assert "cA &#34;title&#34;d</td>" in html


def test_a_fault_in_a_shared_part_is_named_with_its_own_line(tmp_path: Path) -> None:
    text = mail("").replace("<mj-section>", '<mj-include path="email/_part.mjml.j2" /><mj-section>')
    templates = folder(tmp_path, mail_mjml=text)
    for part, place in (("\n\n{% if x %}", 3), ("\n<mj-txet></mj-txet>", 2)):
        (templates / "email" / "_part.mjml.j2").write_text(part, encoding="utf-8")
        with pytest.raises(TemplateError, match=rf"_part\.mjml\.j2:{place}: "):
            TemplateLoader([templates]).load().get("email/mail.mjml.j2")


def test_a_start_with_a_full_cache_compiles_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    templates, cache = folder(tmp_path / "t", mail_mjml=mail(ROWS)), tmp_path / "cache"
    first = rendered(TemplateLoader([templates], cache).load())
    monkeypatch.setattr(template_loader, "compile_mjml", lambda *_: pytest.fail("MJML compiled again"))
    monkeypatch.setattr(jinja2.Environment, "_parse", lambda *_: pytest.fail("Jinja compiled again"))
    assert rendered(TemplateLoader([templates], cache).load()) == first


def test_a_damaged_cache_is_made_again(tmp_path: Path) -> None:
    templates, cache = folder(tmp_path / "t", mail_mjml=mail(ROWS)), tmp_path / "cache"
    first = rendered(TemplateLoader([templates], cache).load())
    for kept in cache.glob("*.jinja"):
        kept.write_bytes(kept.read_bytes()[:40])
    for kept in cache.glob("*.html"):
        kept.write_bytes(b"\xff")
    assert rendered(TemplateLoader([templates], cache).load()) == first


def test_every_template_that_is_broken_is_told(tmp_path: Path) -> None:
    texts = {"a_txt": "{% if %}", "b_txt": "fine", "c_txt": "{{ x|nofilter }}"}
    faults = TemplateLoader([folder(tmp_path, **texts)]).faults()
    assert sorted(faults) == ["email/a.txt.j2", "email/c.txt.j2"]
    assert str(faults["email/c.txt.j2"]).startswith(f"{tmp_path}/email/c.txt.j2:1: ")


def test_an_operators_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nowhere"):
        TemplateLoader([tmp_path / "nowhere", bundled("templates")]).load()


def test_an_operators_broken_template_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(TemplateError, match=r"digest\.txt\.j2:1: "):
        TemplateLoader([folder(tmp_path, digest_txt="{% for %}"), bundled("templates")]).load()


def test_an_operators_template_may_use_what_any_jinja_template_may(tmp_path: Path) -> None:
    text = "{{ row.text }} {{ row.missing is defined }} {% macro m(x) %}<{{ x }}>{% endmacro %}{{ m(1) }} {{ rows[0].text }}"
    theirs, ours = folder(tmp_path / "theirs", mail_txt=text), folder(tmp_path / "ours", other_txt="ours")
    page = TemplateLoader([theirs, ours]).load().get("email/mail.txt.j2")
    assert page.render(row={"text": "a"}, rows=[{"text": "b"}]) == "a False <1> b"


escaped = st.one_of(st.text(max_size=40), st.integers(), st.text(max_size=40).map(Markup), st.none(), st.floats(allow_nan=False))


@given(values=st.lists(escaped, max_size=4))
@pytest.mark.parametrize("name", ["email/mail.html.j2", "email/mail.txt.j2", "web/mail.html.j2"])
def test_our_code_prints_what_jinjas_prints(name: str, values: list[object]) -> None:
    text = """{% macro shown(x) %}<i>{{ x }}</i>{% endmacro %}{{ shown(values[0]) if values else "none" }}
{% for value in values %}{% set kept %}({{ value }}){% endset %}{{ loop.index }} {{ value }} {{ kept }} {{ "<" ~ value }}
{%- if loop.last %} {{ values|join("<") }}{% endif %}{% endfor %}{{ "%s<" % (values|length) }}{{ "<b>"|safe * 2 }}"""

    def environment() -> jinja2.Environment:
        return jinja2.Environment(autoescape=lambda each: not str(each).endswith(".txt.j2"), loader=jinja2.DictLoader({name: text}))

    lean = environment()
    lean.code_generator_class = LeanCode
    assert lean.get_template(name).render(values=values) == environment().get_template(name).render(values=values)


@given(values=st.lists(st.text(max_size=40), max_size=4))
@pytest.mark.parametrize(
    "twice", ["", "{% set again %}é{{ values }}{% endset %}{{ again }}", "{% filter upper %}é{{ values }}{% endfilter %}"]
)
def test_our_html_in_utf_8_is_what_jinja_prints(values: list[str], twice: str) -> None:
    text = (
        """é{% for value in values %}“{{ value }}”{% filter kept_by(value) %}({{ value }}){% endfilter %}{{ 7 }}{% endfor %}
{{ "·".join(["a", "b"]) }}{% if values %}{{ values[0] }}{% endif %}"""
        + twice
    )
    pages = []
    for lean in (True, False):
        environment = jinja2.Environment(autoescape=True, loader=jinja2.DictLoader({"email/mail.mjml.j2": text}))
        environment.filters["kept_by"] = kept_by
        if lean:
            environment.code_generator_class = LeanCode
        template = environment.get_template("email/mail.mjml.j2")
        printed = template.render(values=values)
        pages.append(encoded(template, printed) if lean else printed.encode())
    assert pages[0] == pages[1]


def test_what_is_kept_by_values_is_made_once_for_the_same_and_told_from_other_blocks(tmp_path: Path) -> None:
    text = "{% for x in xs %}{% filter kept_by(x) %}{{ made(x) }}{% endfilter %}{% filter kept_by(x) %}-{% endfilter %}{% endfor %}"
    made: list[int] = []

    def make(value: int) -> int:
        made.append(value)
        return value

    page = TemplateLoader([folder(tmp_path / "ours", mail_txt=text)]).load().get("email/mail.txt.j2")
    assert [page.render(xs=[1, 2, 1], made=make) for _ in range(2)] == ["1-2-1-", "1-2-1-"]
    assert made == [1, 2]
    theirs = TemplateLoader([folder(tmp_path / "theirs", mail_txt=text), bundled("templates")]).load().get("email/mail.txt.j2")
    assert theirs.render(xs=[1, 1], made=make) == "1-1-"
    assert made == [1, 2, 1, 1]


def test_no_more_is_kept_than_there_is_room_for(tmp_path: Path) -> None:
    text = "{% for x in xs %}{% filter kept_by(x) %}{{ x }} {% endfilter %}{% endfor %}"
    page = TemplateLoader([folder(tmp_path, mail_txt=text)]).load().get("email/mail.txt.j2")
    numbers = range(3 * 4096)
    assert page.render(xs=numbers) == " ".join(map(str, [*numbers, ""]))
    assert 0 < len(page.template.root_render_func.__globals__["kept"]) <= 4096
