"""What a proposer yields: (start, end, new text, cost)."""

Guess = tuple[int, int, str, float]
