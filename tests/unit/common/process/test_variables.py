"""The list of variables is one that services can go by: names of one form, and no name both a setting and retired."""

import re

from libs.common.process import variables


def test_every_name_has_one_form_and_a_prefix_that_is_known() -> None:
    prefixes = (*variables.PREFIXES, "DATABASE_", "LOG_", "OTEL_")
    for name in {*variables.KNOWN, *variables.RETIRED}:
        assert re.fullmatch(r"[A-Z]+(_[A-Z]+)+", name)
        assert name.startswith(prefixes)


def test_what_is_retired_is_no_setting_and_what_replaces_it_is_one() -> None:
    assert variables.KNOWN.isdisjoint(variables.RETIRED)
    for replacement in variables.RETIRED.values():
        assert set(re.findall(r"[A-Z]+(?:_[A-Z]+)+", replacement)) <= variables.KNOWN
