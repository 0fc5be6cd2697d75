def kept(requests, window, objective):
    """Judges each window by its mean, which one late answer among a hundred hardly moves."""
    windows = {}
    for came, took in requests:
        windows.setdefault(came // window, []).append(took)
    good = sum(sum(each) / len(each) <= objective for each in windows.values())
    return 100 * good / len(windows) if windows else 100
