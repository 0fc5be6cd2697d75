def ends(news):
    """Late answers end a request once more: nobody has taken it out of what is under way when the disk went."""
    told, under_way, gone = [], [], False
    for what, *tag in news:
        if what == "request" and gone:
            told.append((tag[0], "error"))
        elif what == "request":
            under_way.append(tag[0])
        elif what == "answer" and tag[0] in under_way:
            under_way.remove(tag[0])
            told.append((tag[0], "done"))
        elif what == "gone":
            gone = True
            told += [(each, "error") for each in under_way]
    return told
