"""How much anybody may ask for, exact over all processes, for little.

**The window.** For each key Redis keeps what was granted and when that
leaves the window, by its own clock. A script (`take.lua`) forgets what has
left and grants what still fits, so that no stretch of `window_seconds` ever
sees more than `limit + burst` admissions, however many processes ask.

**Leases.** Asking Redis for each call would cost more than most calls do.
So a process leases a few tokens and gives them out by itself, for at most a
second. They are debited when they are leased, and counted for the window
plus the lease's life: wherever in its life a token is used, the window that
begins there still counts it. A process can therefore only admit too little,
by what it holds and does not use. That is kept small: a lease starts with
one token and doubles while it is used up, what is left is given back when
the lease ends, and near the limit tokens are given out one by one, to
callers who are there. With the end of a lease Redis is told that its tokens
were used by now, and counts them no longer than that.

**Asking.** Those who call while a key has no tokens wait together. All keys
that wait go to Redis in one script, one at a time; while it is under way
the next one fills up, so that more load makes scripts longer, not more. A
refusal is remembered for a second, so that a flood does not reach Redis.

**Without Redis.** The first script that fails, or takes 100 ms, shuts the
`Gate`. Those who waited, and all who come later, are counted here alone, by
the same limits, until a probe in the background can write again. A debit is
never sent twice: one whose answer is lost is lost tokens at most.

**Sockets** are held in the same way: each has a lease in its user's set,
which a heartbeat renews and which ends by itself when its process is gone.
"""

from app.utils.rate_limiter.connections import ConnectionLimiter
from app.utils.rate_limiter.gate import Gate
from app.utils.rate_limiter.limiter import RateLimiter
from app.utils.rate_limiter.limits import Limits
from app.utils.rate_limiter.verdict import Verdict, rate_limit_headers

__all__ = [
    "ConnectionLimiter",
    "Gate",
    "Limits",
    "RateLimiter",
    "Verdict",
    "rate_limit_headers",
]
