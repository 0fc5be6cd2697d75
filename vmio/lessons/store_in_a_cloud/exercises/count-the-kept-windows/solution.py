def kept(requests, window, objective):
    """In how many windows, in percent, the 99th percentile was at most `objective`; `requests` are (came, took) pairs."""
    windows = {}
    for came, took in requests:
        windows.setdefault(came // window, []).append(took)
    good = sum(sorted(each)[-(-99 * len(each) // 100) - 1] <= objective for each in windows.values())
    return 100 * good / len(windows) if windows else 100
