"""The committed page says what is served now."""

import compatibility


def test_the_page_is_up_to_date() -> None:
    committed = compatibility.PAGE.read_text(encoding="utf-8")
    assert committed == compatibility.current_page(), "run: python tests/compat/compatibility.py --write"
