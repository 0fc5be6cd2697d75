from vmio.lab import attempted, expect, seeded


def right(news):
    """Return the ends: of each request the first answer behind it, if it comes before the disk goes; else it ends with the disk, or at once."""
    gone = news.index(("gone",)) if ("gone",) in news else len(news)
    found = []
    for at, (what, *tag) in enumerate(news):
        if what == "request":
            answer = next((later for later in range(at, gone) if news[later] == ("answer", tag[0])), None)
            if answer is not None:
                found.append((answer, at, tag[0], "done"))
            elif gone < len(news):
                found.append((max(gone, at), at, tag[0], "error"))
    return [(tag, how) for _, _, tag, how in sorted(found)]


def story(random, length, tags):
    """Return news of a disk that may go: requests whose tags are free, answers that are good, late, doubled, or for nobody."""
    news, under_way, gone = [], [], False
    for _ in range(length):
        dice = random.random()
        if dice < 0.45 and len(under_way) < len(tags):
            tag = random.choice([each for each in tags if each not in under_way])
            news.append(("request", tag))
            under_way += [] if gone else [tag]
        elif dice < 0.8 and under_way:
            tag = random.choice(under_way)
            under_way.remove(tag)
            news.append(("answer", tag))
        elif dice < 0.93:
            news.append(("answer", random.choice([each for each in tags if each not in under_way] or [999])))
        elif not gone and len(news) > length // 3:
            news.append(("gone",))
            under_way, gone = [], True
    return news


def check(ends):
    random = seeded(1407)
    stories = [[("request", 7), ("answer", 7)], [("request", 4), ("request", 9), ("gone",), ("answer", 9)], [("gone",), ("request", 1), ("answer", 1)],
               [("answer", 3), ("request", 3), ("answer", 3), ("answer", 3), ("request", 3), ("gone",), ("answer", 3)]]
    stories += [story(random, length, random.sample(range(100, 900), count)) for length, count in ((9, 3), (20, 4), (40, 5), (80, 6), (80, 12))]
    for news in stories:
        given = f"the news {news}" if len(news) < 12 else f"{len(news)} pieces of news, first {news[:6]}"
        answer = attempted(ends(list(news)), given, list, "a list of ends")
        wanted = right(news)
        for at, (got, due) in enumerate(zip(answer, wanted), 1):
            expect(got, due, given=f"{given}, end number {at}")
        expect(len(answer), len(wanted), given=f"{given}: how many ends")
    return f"{len(stories)} disks, {sum(sum(one[0] == 'request' for one in news) for news in stories)} requests, one end for each."
