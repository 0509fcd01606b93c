"""What the memory says about the next token."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from engine.memory.proposal import IN_WORKSPACE, Proposal, behind_match


@dataclass(frozen=True, slots=True)
class Match:
    """The longest match of what is known: how many tokens agree, how often, and what followed.

    `agrees` is the part of the places' weight behind which the text after the hole follows, too; `beside` the part that
    stands so near to the cursor that the denoiser sees it.
    `chances` is a distribution over the tokens that followed, nearer files counting for more; `ahead` are the tokens
    after the best place (nearest, and the one that agrees with what follows the hole), a draft for the sampler.
    """

    length: int = 0
    count: int = 0
    near: int = 2  # 0 this file, 1 its folder, 2 the workspace
    agrees: float = 0.0
    beside: float = 0.0
    chances: dict[int, float] = field(default_factory=dict)
    ahead: list[int] = field(default_factory=list)

    def among(self, allowed: npt.NDArray[np.int64]) -> Match:
        """This match with nothing but `allowed` tokens: thousands often, and here a few."""
        kept = {t: p for t, p in self.chances.items() if t in allowed}
        if not kept:
            return Match()
        total = sum(kept.values())
        ahead = self.ahead if self.ahead and self.ahead[0] in allowed else []
        return replace(self, chances={t: p / total for t, p in kept.items()}, ahead=ahead)

    @property
    def proposal(self) -> Proposal:
        """`ahead` as a draft."""
        return behind_match(self.ahead, self.length, IN_WORKSPACE)

    @property
    def likeliest(self) -> int:
        """The token of the largest chance; there must be one."""
        return max(self.chances, key=lambda token: self.chances[token])

    @property
    def share(self) -> float:
        """The chance of the likeliest token."""
        return max(self.chances.values(), default=0.0)
