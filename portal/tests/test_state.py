"""A table of arrows: every arrow passes, everything else is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portal.state import WrongState, require_transition

names = st.sampled_from(["draft", "submitted", "approved", "rejected"])


@given(table=st.dictionaries(names, st.sets(names)), current=names, target=names)
def test_only_the_arrows_of_the_table_pass(table, current, target):
    if target in table.get(current, set()):
        require_transition(table, current=current, target=target, code="test")
    else:
        with pytest.raises(WrongState) as refused:
            require_transition(table, current=current, target=target, code="test")
        assert refused.value.code == "test"
        assert refused.value.context == {"current": current, "target": target}
        assert refused.value.status_code == 409
