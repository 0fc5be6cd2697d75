def fairness(amounts, weights):
    """Jain's index of `amounts` by `weights`, lists of the same length; 1.0 if nobody got anything."""
    shares = [amount / weight for amount, weight in zip(amounts, weights)]
    squares = sum(share * share for share in shares)
    return sum(shares) ** 2 / (len(shares) * squares) if squares else 1.0
