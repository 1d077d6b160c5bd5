"""What other subjects of the desk hang onto the life of a loan. Called in the transaction of the step, on the locked loan."""

from __future__ import annotations

from collections.abc import Callable

from lending.models import Loan
from portal.models import User
from portal.registry import Registry

LoanHandler = Callable[[Loan, User | str], object]

#: The debt is smaller or more collateral counts: an open call may be cured. handler(loan, actor)
improved: Registry[LoanHandler] = Registry()
#: Nothing is owed any more: collateral may go back to the borrower. handler(loan, actor)
repaid: Registry[LoanHandler] = Registry()
#: The borrower asks to repay with deposited collateral. handler(loan, actor); registered by the sales.
repayment_from_collateral: Registry[Callable[[Loan, User, int], object]] = Registry()


def tell(registry: Registry[LoanHandler], loan: Loan, actor: User | str) -> None:
    """Call every handler in the order they were registered."""
    for handler in registry:
        handler(loan, actor)
