"""tools/site_markdown.py: what a repository's browser reads is read the same by mkdocs."""

from tools.site_markdown import for_mkdocs


def test_a_list_or_table_below_a_paragraph_gets_its_blank_line() -> None:
    assert for_mkdocs("Words:\n- a\n- b\n") == "Words:\n\n- a\n- b\n"
    assert for_mkdocs("Words:\n1. a\n2. b\n") == "Words:\n\n1. a\n2. b\n"
    assert for_mkdocs("Words:\n| a | b |\n| --- | --- |\n") == "Words:\n\n| a | b |\n| --- | --- |\n"
    assert for_mkdocs("# Head\n- a\n") == "# Head\n- a\n"


def test_a_number_at_the_begin_of_a_line_is_no_list_within_a_paragraph() -> None:
    text = "It is so in\n2. and that is all. - no\n"
    assert for_mkdocs(text) == text


def test_what_belongs_to_an_item_is_indented_by_four() -> None:
    text = "1. Do:\n\n   ```sh\n   run\n     more\n   ```\n\n   Words.\n\n2. Then\n\nNo list\n  any more\n"
    told = "1. Do:\n\n    ```sh\n    run\n      more\n    ```\n\n    Words.\n\n2. Then\n\nNo list\n  any more\n"
    assert for_mkdocs(text) == told
    assert for_mkdocs("- a\n  - b\n  more of b\n") == "- a\n    - b\n    more of b\n"


def test_fences_stay_as_they_are() -> None:
    text = "Words\n```sh\nWords:\n- a\n| a |\n| --- |\n  two\n```\n- a\n"
    assert for_mkdocs(text) == text


def test_pipes_in_the_code_of_a_table_lose_their_backslash() -> None:
    assert for_mkdocs(r"| `a\|b` | c\|d |") == r"| `a|b` | c\|d |"
    assert for_mkdocs(r"`a\|b`") == r"`a\|b`"
