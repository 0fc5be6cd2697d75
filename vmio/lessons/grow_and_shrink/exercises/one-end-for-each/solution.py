def ends(news):
    """[(tag, "done" or "error"), ...] for a list of ("request", tag), ("answer", tag) and ("gone",)."""
    told, under_way, gone = [], {}, False
    for what, *tag in news:
        if what == "request" and gone:
            told.append((tag[0], "error"))
        elif what == "request":
            under_way[tag[0]] = True
        elif what == "answer" and tag[0] in under_way:
            del under_way[tag[0]]
            told.append((tag[0], "done"))
        elif what == "gone":
            gone = True
            told += [(each, "error") for each in under_way]
            under_way.clear()
    return told
