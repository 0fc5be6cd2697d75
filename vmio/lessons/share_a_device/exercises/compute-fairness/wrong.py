def fairness(amounts, weights):
    """Forgets the weights: a guest that is to get more looks like a thief."""
    squares = sum(amount * amount for amount in amounts)
    return sum(amounts) ** 2 / (len(amounts) * squares) if squares else 1.0
