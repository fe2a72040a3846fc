"""Summaries of reports (LongBench's ``gov_report``).

The agencies, regions and figures are invented. A report is written from one of ten subjects:
the background, why it was made, three or four of the subject's five findings with figures
drawn anew, a recommendation for each, the next steps, the method, and what the agency said. The
reference summary is put together from the same facts, in sixty to a hundred and ten words:
the reason, the findings, and the first two of the recommendations.
"""

import random

from kvbook.tasks.embedded import row

REGIONS = ["Norvania", "Eastmere", "Castelrio", "Ulvland", "Amberland", "Tamarin", "Valle Serena", "Hochwald", "the Lower Delta", "Kelmark", "Sorrano", "Lakeland Vale", "Marchfeld", "Port Aurelia", "Brennland"]  # fmt: skip

SUBJECTS = [
    {
        "agency": "the Ferry Board of {region}",
        "topic": "the island ferries",
        "title": "Island Ferries: Passengers Are Kept Waiting",
        "why": "The island ferries of {region} carry {thousands},000 passengers a year. After a summer of cancelled crossings the council asked for a review of the Ferry Board, which runs them.",
        "background": "The Board was founded to give each inhabited island at least one crossing a day. It owns {ships} ships, leases two more in the high season, and sets the fares. Crews live on the mainland and are relieved every second week. Half of the costs are paid by tickets, the other half by a yearly grant.",
        "findings": [
            ("The fleet is old. {share} percent of the crossings that were cancelled had been cancelled because of engine failure, and three of the ships have been in service for more than {years} years. Spare parts for these are no longer made, and the workshop produces them by hand.", "engine failure in an aging fleet caused {share} percent of the cancelled crossings", "replace the three oldest ships within five years"),
            ("The winter timetable does not meet the needs of the islands. The last boat leaves the mainland at four in the afternoon, before most schools and offices close. In a survey {share} percent of the islanders said that they had spent at least one night in town against their will.", "the last winter boat leaves too early for {share} percent of the islanders", "add a later boat on weekdays in winter"),
            ("Tickets are sold on board and for cash only. On busy days this takes longer than the crossing itself, and the mean departure was {minutes} minutes late. A trial with tickets sold on the quay had cut the delay by half, but it was ended when the season was over.", "selling tickets on board delayed departures by {minutes} minutes on average", "sell tickets on the quay before departure"),
            ("Freight and passengers compete for the same deck. When a lorry of building material is on board there is room for no more than a third of the usual cars. No records are kept of the cars left behind; the harbour masters estimated {hundreds}00 a month.", "freight displaced about {hundreds}00 cars a month", "carry heavy freight on separate night crossings"),
            ("Warnings reach passengers late. Cancelled crossings are written on a board at the harbour, and the telephone line was engaged in {share} percent of our calls. Passengers from the outer villages often learned of a cancellation only after a drive of an hour.", "{share} percent of calls to the information line found it engaged", "publish cancellations by message and radio"),
        ],
        "comments": "The Board agreed with the recommendations in principle and asked for two more years to carry them out.",
    },
    {
        "agency": "the Library Service of {region}",
        "topic": "the mobile libraries",
        "title": "Mobile Libraries: The Service Has Lost Touch with Its Readers",
        "why": "Library buses bring books to villages in {region} that have no library of their own. Loans have fallen by {share} percent in six years, and the council wished to know why.",
        "background": "The Library Service runs {ships} buses, each with about three thousand volumes. A bus stops in a village for forty minutes every second week. The routes were drawn when the service began and have been changed only where a road was closed. Drivers are also librarians, and most of them have known their readers since childhood.",
        "findings": [
            ("The stops no longer lie where people live. {share} percent of the stops serve fewer than five readers, while four new housing estates with many families are not served at all. At one stop the driver had waited for a whole year without a visitor.", "{share} percent of the stops had fewer than five readers", "draw the routes anew from the present population"),
            ("The buses come at the wrong time. Almost all stops fall between ten and three o'clock, when children are at school and parents at work. Where a stop had been moved to the evening as a test, loans rose by {share} percent within a season.", "evening stops raised loans by {share} percent in a test", "move stops to the late afternoon and evening"),
            ("The stock is worn. We examined {hundreds}00 volumes and found that one in four had loose pages or a missing cover. Books for young readers were the most worn and the least often replaced, since the budget for purchases is spent by the main library.", "one in four of {hundreds}00 volumes examined was damaged", "give the buses a budget for new books of their own"),
            ("Two buses break down often. They were out of service on {days} days last year, and no replacement was sent. Readers in the hills could then neither borrow nor return books, and were still charged for being late.", "two unreliable buses were out of service on {days} days", "keep one bus in reserve"),
            ("Readers cannot order a book. The catalogue is kept in the main library and can be searched only there. Drivers write wishes on slips of paper, of which {share} percent were never answered.", "{share} percent of the readers' requests were never answered", "open the catalogue for orders by telephone"),
        ],
        "comments": "The Library Service welcomed the review and has begun to put it into practice; for some of the measures, it said, it has no means this year.",
    },
    {
        "agency": "the Forest Office of {region}",
        "topic": "the replanting of storm-damaged forest",
        "title": "Replanting after the Storm: The Fund Misses a Part of Its Aim",
        "why": "A winter storm felled {thousands},000 hectares of forest in {region}. The Forest Office received a special fund for replanting, and we examined how it was used.",
        "background": "Before the storm most of the forest was spruce, planted in rows and cut after eighty years. The fund was to pay for mixed forest that withstands wind and drought. Owners apply for it with a plan, plant within two years, and are paid when a forester has inspected the site.",
        "findings": [
            ("Most of the new forest is like the old. On {share} percent of the area that was paid for, spruce was planted again, often because the nurseries had nothing else to sell. Oak and lime, which the plan names first, were found on only a few sites.", "spruce was planted again on {share} percent of the area", "pay more for mixed planting than for a single species"),
            ("Young trees are eaten. Where there was no fence, deer had bitten off {share} percent of the seedlings within the first winter. Fences are paid for only after a separate application, and owners said that the form was longer than the one for the trees.", "deer destroyed {share} percent of the unfenced seedlings", "include fences in the grant for planting"),
            ("Inspections come late. On average {months} months went by between planting and the visit of a forester, and in the meantime many seedlings had dried up. Owners were paid for trees that were no longer alive, or were not paid for trees that were.", "inspections came {months} months after planting on average", "inspect each site within six months"),
            ("Small owners are left out. Those with less than ten hectares own half of the damaged forest but received {share} percent of the money. Many of them did not know of the fund, and others could not pay for the seedlings in advance.", "small owners received only {share} percent of the money", "pay small owners a part in advance"),
            ("The nurseries have no certainty. They need three years to raise an oak for planting, but learn only in spring how many will be wanted in autumn. As a result {thousands},000 seedlings of beech were destroyed while oak was imported.", "nurseries destroyed {thousands},000 beech seedlings for lack of orders", "agree on orders with nurseries three years ahead"),
        ],
        "comments": "The Forest Office accepted the findings and will consider them in the next round of grants.",
    },
    {
        "agency": "the Bridge Inspectorate of {region}",
        "topic": "the inspection of small bridges",
        "title": "Small Bridges: More Care Is Needed",
        "why": "There are {thousands},000 small bridges on the country roads of {region}. After the closing of one of them had cut off a village for a month, we reviewed the work of the Bridge Inspectorate.",
        "background": "A bridge is inspected every six years and given a grade from one to five. Grade four means that it must be repaired within two years, grade five that it must be closed. The inspectors report to the districts, which own the bridges and pay for repairs from their own budgets.",
        "findings": [
            ("Repairs do not follow. Of the bridges with grade four, {share} percent had not been repaired when the two years were over. The districts said that a bridge costs more than a small district spends on all its roads.", "{share} percent of the bridges with grade four were not repaired in time", "create a common repair fund for the districts"),
            ("The records are incomplete. For {hundreds}00 bridges neither drawings nor the year of construction could be found, so that their load had been estimated by eye. Some bridges were listed twice under different names, and eleven did not exist.", "drawings were missing for {hundreds}00 bridges", "measure and draw all undocumented bridges"),
            ("Heavy lorries use bridges that are closed to them. At three bridges we counted for a week, and {share} percent of the lorries were above the limit. The signs were often hidden by branches or stood where a lorry can no longer turn.", "{share} percent of the lorries counted were too heavy for the bridge", "place weight signs where lorries can still turn"),
            ("There are too few inspectors. Each is responsible for {bridges} bridges, and a third of the posts have been vacant for more than a year. Inspections under water, for which a diver is needed, were left out at most bridges.", "each inspector is responsible for {bridges} bridges", "fill the vacant posts and train two divers"),
            ("Grades depend on the inspector. We had {pairs} bridges graded a second time by someone else, and in about half of the cases the grades were different. The handbook describes concrete in detail but has a single page about stone.", "a second inspector gave another grade in about half of {pairs} cases", "revise the handbook and train inspectors together"),
        ],
        "comments": "The Inspectorate agreed. Two of the districts remarked that their own bridges are in good repair.",
    },
    {
        "agency": "the School Meals Agency of {region}",
        "topic": "school lunches",
        "title": "School Lunches: A Good Idea in Need of Better Service",
        "why": "Since last year every pupil in {region} may have a warm lunch at school. The School Meals Agency spent {million} million crowns on it, and parliament asked whether the lunches are eaten.",
        "background": "The Agency cooks in five large kitchens and sends the food to schools in insulated boxes. Menus are made for four weeks and follow rules about vegetables, fish and sugar. Parents pay a third of the price, and families with little income pay nothing. Schools provide the room, the plates and somebody to serve.",
        "findings": [
            ("Much of the food is thrown away. In the schools that we visited {share} percent of what was delivered ended in the bin. Fish and cooked vegetables were left most often, while soup and fresh bread were always finished.", "{share} percent of the delivered food was thrown away", "weigh what is left and adapt the menus to it"),
            ("Lunches arrive cold. The farthest schools lie two hours from a kitchen, and in {share} percent of our measurements the food was below the temperature that is required. Schools with a stove of their own warmed it up, the others served it as it was.", "food was too cold in {share} percent of the measurements", "open smaller kitchens near distant schools"),
            ("Pupils have too little time. Lunch break lasts {minutes} minutes, of which half is spent in the queue. Where classes came one after the other instead of all at once, twice as many plates were empty at the end.", "a lunch break of {minutes} minutes was half spent queueing", "let classes eat in turns"),
            ("Families do not claim what is free for them. Only {share} percent of those who are entitled to free lunches had applied. The form asks for six documents, and it has to be handed in again after every holiday.", "only {share} percent of entitled families applied for free lunches", "grant free lunches without a new application each term"),
            ("Purchases are not compared. The five kitchens buy on their own, and the price of a kilogram of carrots differed by {share} percent between them. None had asked the farms nearby, some of which sell the same carrots abroad.", "prices for the same goods differed by {share} percent between kitchens", "buy common goods together"),
        ],
        "comments": "The Agency agreed with the recommendations, so long as lunches do not become dearer by them.",
    },
    {
        "agency": "the Weather Institute of {region}",
        "topic": "the flood warnings",
        "title": "Flood Warnings: Not Everybody Was Reached",
        "why": "In the spring the river rose higher than it had in sixty years, and {hundreds}00 houses in {region} were flooded. We examined whether the Weather Institute had warned in time.",
        "background": "The Institute measures rain and the height of the rivers at {stations} stations and computes a forecast four times a day. When a river is expected to leave its bed, it sends a warning in one of three colours to the mayors. They decide whether sirens are sounded and people are brought to safety.",
        "findings": [
            ("The forecasts were good. For {share} percent of the stations the height of the flood was predicted within a hand's breadth, a day before. The error was larger only in the side valleys, where there are no stations at all.", "forecasts were accurate at {share} percent of the stations", "set up stations in the side valleys"),
            ("The colours were misread. Of the mayors we spoke to, {share} percent believed that orange was the highest level, and waited for a red that they thought would not come. The explanation of the colours is printed on the back of the form.", "{share} percent of the mayors misunderstood the colours", "replace the colours by plain sentences"),
            ("Warnings were delayed on the way. They are sent by fax to the district, which passes them on by telephone. From the Institute to the last village this took {hours} hours on the night of the flood, and by then two roads were under water.", "it took {hours} hours until the last village was warned", "send warnings to the villages directly"),
            ("Sirens did not work. {share} percent of the sirens remained silent, most of them because their batteries had not been changed. They are tested once a year, at noon, by a signal from the district that does not show whether anybody heard it.", "{share} percent of the sirens stayed silent", "test the sirens each month and report the result"),
            ("Visitors were not reached. Two camping sites by the river were full, and nobody had their telephone numbers. The guests, {hundreds}00 in all, were woken by neighbours with torches and lost tents and cars.", "{hundreds}00 guests of camping sites got no warning", "include camping sites in the plan for alarms"),
        ],
        "comments": "The Institute agreed and has formed a working group with the districts, which asked for money.",
    },
    {
        "agency": "the Night Train Company of {region}",
        "topic": "the night trains",
        "title": "Night Trains: Full Sleeping Cars and a Growing Loss",
        "why": "The night trains of {region} are booked out for months, and yet the Night Train Company lost {million} million crowns last year. The ministry of transport asked us to find out how that can be.",
        "background": "The Company took over six lines from the railways together with {cars} sleeping cars, some of them older than their passengers. It pays the railways for tracks and engines. A ticket is priced by distance, as it is by day, with a supplement for the bed that has not changed in ten years.",
        "findings": [
            ("A car stands still for most of its life. On average a sleeping car is used on {nights} nights of the month and spends the others in the workshop or on a siding. Repairs are made in a single hall, where cars wait for three weeks until their turn comes.", "sleeping cars were in use on only {nights} nights a month", "open a second workshop for the sleeping cars"),
            ("Prices do not follow demand. On Friday nights {share} percent of those who wished to travel found no bed, while on Tuesdays half the beds were empty. The price was the same on both days.", "{share} percent of travellers found no bed on Fridays", "make beds dearer on weekends and cheaper on other days"),
            ("Tracks cost more at night than by day. Because of works on the line the trains are led around, and the Company pays for the longer way. These detours came to {share} percent of all that it paid for tracks.", "detours made up {share} percent of the cost of tracks", "share the cost of detours with the railways"),
            ("Laundry and breakfast are bought at the last minute. Each terminus has its own contract, and the price of a set of sheets differed by {share} percent. At one terminus clean sheets were brought by taxi on {days} nights.", "the price of laundry differed by {share} percent between stations", "buy laundry and breakfast under one contract"),
            ("Delays are not compensated in a uniform way. A train that is more than {minutes} minutes late costs the Company half of the fare, even when the cause was a signal. The railways have never been asked to pay their part.", "the Company paid for delays of {minutes} minutes whatever their cause", "claim compensation from those who cause a delay"),
        ],
        "comments": "The Company agreed. The railways did not wish to comment while negotiations are going on.",
    },
    {
        "agency": "the Museums Council of {region}",
        "topic": "the storage of museum collections",
        "title": "Museum Stores: Most of the Collections Are neither Seen nor Safe",
        "why": "The public museums of {region} own {thousands},000 objects and show one in twenty of them. When water came into a cellar with costumes, the Museums Council was asked how the others are kept, and we reviewed its answer.",
        "background": "Fourteen museums are paid for by the Council, which also lays down how objects are to be stored: dry, dark, and off the floor. Each museum keeps its own list. The stores are in cellars, attics, a former barracks, and a hall at the harbour that is rented by the month.",
        "findings": [
            ("Many stores are damp. In {share} percent of the rooms the air was more humid than the rules allow, and in five of them mould was growing on wood and leather. Gauges were in place nearly everywhere, but nobody had been told to read them.", "{share} percent of the storage rooms were too damp", "appoint someone in each museum to read the gauges"),
            ("Objects cannot be found. We asked for {hundreds}00 objects chosen from the lists, and one in six was not where it should have been. Some were on loan and had never been given back, and some had been on show all the time.", "one in six of {hundreds}00 requested objects was not in its place", "count all of the collections within four years"),
            ("The hall at the harbour is dear and unsafe. Its rent has risen by {share} percent, it stands below the level of the spring tide, and it holds the largest paintings. A plan to build a common store has been ready for nine years.", "the rent of an unsafe harbour hall rose by {share} percent", "build the common store that has been planned"),
            ("Lists exist on paper only. {share} percent of the entries have never been copied, and for some collections there is a single book, kept in the same room as the objects. A fire would destroy both.", "{share} percent of the entries exist only on paper", "copy the lists and keep them elsewhere"),
            ("Schools would like to borrow. {schools} schools had asked for boxes with real objects for their lessons and were refused, because no rule says who pays if something breaks. Two museums lend in secret and reported no damage.", "requests for loans from {schools} schools were refused", "make rules for lending simple objects to schools"),
        ],
        "comments": "The Council agreed with most of the recommendations and said that it would take at least eight years to follow all of them.",
    },
    {
        "agency": "the Bicycle Programme of {region}",
        "topic": "the cycle paths",
        "title": "Cycle Paths: More Was Built than Is Used",
        "why": "Ten years ago {region} decided to build {hundreds}00 kilometres of cycle paths. The Bicycle Programme reported last spring that the aim has been reached, and we examined what was built.",
        "background": "The Programme pays four fifths of the cost of a path, and the town through which it runs pays the rest. A town applies with a drawing, builds, and reports the length. The purpose of the Programme is that people ride to work and to school by bicycle who used to go by car.",
        "findings": [
            ("The paths do not meet. They end at {gaps} places where a town ends, and begin again on the other side of a main road or not at all. Riders told us that they know the paths well and seldom use them to get anywhere.", "the paths are broken by {gaps} gaps", "pay first for the closing of gaps"),
            ("Lengths were counted twice. Where a path runs on both sides of a street it was reported as two, and some towns reported pavements. By our own measurement {share} percent of the reported kilometres do not exist.", "{share} percent of the reported kilometres do not exist", "measure the paths before paying for them"),
            ("Paths are not kept up. On {share} percent of the length roots have lifted the surface, and in winter snow is pushed from the road onto the path. The Programme pays for building only, and no town had set money aside for repairs.", "{share} percent of the length was damaged", "require a plan for maintenance with every application"),
            ("Bicycles are stolen at stations. There are stands for {hundreds}00 bicycles but locked boxes for only a few, and every second rider we asked had lost one. Some had gone back to the car for that reason.", "stations have open stands for {hundreds}00 bicycles but hardly any locked boxes", "build locked boxes at the stations"),
            ("Nobody knows who rides. Counts are made on one sunny day in June. Our own count in November found {share} percent of the riders that the Programme had assumed, most of them pupils.", "a count in November found {share} percent of the assumed riders", "count riders all the year round"),
        ],
        "comments": "The Programme disagreed with some of our figures, but will change the way in which it collects its own.",
    },
    {
        "agency": "the Beekeeping Bureau of {region}",
        "topic": "the support for beekeepers",
        "title": "Support for Beekeepers: More Hives Alone Do Not Help",
        "why": "The government of {region} pays beekeepers for each new hive, so that orchards and fields are pollinated. The Beekeeping Bureau has paid out {million} million crowns so far, while growers of fruit still complain of poor harvests.",
        "background": "Anyone who keeps bees may apply. The Bureau pays half of the price of a hive and offers a course of three days. There are now {thousands},000 hives, twice as many as before. Most of them belong to people in the towns who began with the hobby in the last five years.",
        "findings": [
            ("The hives are in the wrong places. {share} percent of the new hives stand in towns, and only a few near the orchards that need them. Growers told us that they had to hire bees from abroad, which came by lorry in the week of the blossom.", "{share} percent of the new hives stand in towns", "pay more for hives near orchards"),
            ("There is little for the bees to eat in summer. After the blossom of the lime trees the fields are bare, and {share} percent of the keepers had to feed sugar in July. A programme for strips of flowers exists but is run by another office.", "{share} percent of the keepers had to feed sugar in summer", "combine the support with strips of flowers"),
            ("Beginners lose their bees. Of the hives that had been paid for, {share} percent were empty after the second winter, most often because of mites that had not been treated. The course speaks of mites on its last afternoon.", "{share} percent of the supported hives were empty after two winters", "offer beginners an experienced keeper as adviser"),
            ("Inspections are rare. The Bureau has two inspectors, who saw {hundreds}00 hives last year. A disease that must be reported was found by a neighbour and had by then spread to six villages.", "two inspectors could visit only {hundreds}00 hives", "train keepers as voluntary inspectors"),
            ("Wild bees were forgotten. Where many hives had been set up, the number of wild bees fell by {share} percent, according to the university. The rules of the support do not mention them, and no distance from nature reserves is required.", "wild bees declined by {share} percent near new hives", "keep new hives away from nature reserves"),
        ],
        "comments": "The Bureau agreed and will lay new rules before the government in the spring.",
    },
]  # fmt: skip

METHODS = [
    "We read the files of the past three years, visited {visits} places without notice, and spoke with staff and with those who use the service. The figures were checked against those of the statistical office.",
    "The review rests on {visits} interviews, on our own counts and measurements, and on the accounts of the agency. A draft was sent to all who are named in it.",
    "We chose {visits} cases at random and followed each from its beginning to its end. Where figures were missing we say so, and we give no estimate of our own.",
    "Two teams worked for five months. They compared the agency's own figures with {visits} samples, and asked experts from two universities to read the results.",
]
EARLIER = [
    "An earlier review, eight years ago, had come to other results. It had looked at the costs alone and had found them to be in order. Since then the tasks have grown, while the number of people who carry them out has remained nearly the same.",
    "The matter had been reviewed once before. Of the seven recommendations that were made at that time two were followed, three were postponed, and two were forgotten when the office moved to another building.",
    "This is the first review of its kind. Complaints had been collected for several years, but they were filed by date and not by subject, so that nobody could say which of them came most often.",
    "Neighbouring regions have solved the same problem in different ways. We looked at two of them for comparison and found that both spend somewhat more money and receive far fewer complaints.",
    "The law on which all of this rests is short and old. It says what is to be achieved and leaves open how, and for a long time this was regarded as its strength. The regulations that were added later fill four volumes.",
    "Public interest in the subject has been strong. More than forty letters reached us while we were at work, most of them friendly, and several contained measurements that proved to be correct.",
]
NEXT = [
    "The agency has been asked to report within a year on what it has done. We shall look at the matter again in three years, and sooner if the number of complaints should rise.",
    "Some of the measures can be begun at once and cost little. Others require a change of the law, and a draft for it will be laid before the council in the autumn.",
    "What the measures will cost has not been calculated in detail. By a rough estimate they would pay for themselves within ten years, most of all by avoiding work that is done twice.",
    "We advise against doing everything at the same time. The first step should be the one that helps the most people, and its effect should be measured before the next is taken.",
    "Responsibility for the next steps is shared. Where two offices are concerned we have named the one that should begin, since in the past each has waited for the other.",
]
DRAWS = {
    "share": (12, 79),
    "thousands": (11, 96),
    "hundreds": (2, 9),
    "million": (3, 48),
    "years": (31, 48),
    "ships": (5, 14),
    "minutes": (18, 35),
    "days": (26, 90),
    "months": (9, 19),
    "bridges": (180, 420),
    "pairs": (24, 60),
    "stations": (40, 95),
    "hours": (4, 9),
    "cars": (48, 120),
    "nights": (9, 17),
    "schools": (17, 60),
    "gaps": (34, 120),
    "visits": (21, 75),
}
"""By figure: the least and the greatest that it can be."""


def make(count: int, rng: random.Random) -> list[dict]:
    """Items of this task; see `kvbook.tasks.embedded.items.build`."""
    used, rows = set(), []
    order = [i for _ in range(-(-count // len(SUBJECTS))) for i in _order(rng)]
    for number, which in enumerate(order[:count]):
        region = rng.choice([one for one in REGIONS if (which, one) not in used])
        used.add((which, region))
        report, summary, opening = _report(rng, SUBJECTS[which], region)
        rows.append(row("gov_report", number, report, [summary], opening=opening))
    return rows


def _order(rng: random.Random) -> list[int]:
    return rng.sample(range(len(SUBJECTS)), len(SUBJECTS))


def _report(rng: random.Random, subject: dict, region: str) -> tuple[str, str, str]:
    """The report, its summary, and how the model's summary begins."""

    def fill(*texts: str) -> list[str]:
        """The texts with one draw of the figures, the same for all of them."""
        figures = {name: rng.randint(*bounds) for name, bounds in DRAWS.items()}
        return [text.format(region=region, **figures) for text in texts]

    chosen = sorted(rng.sample(range(5), rng.choice([3, 4, 4])))
    agency, why, background = fill(subject["agency"], subject["why"], subject["background"])
    findings, shorts, advice = zip(*(fill(*subject["findings"][i]) for i in chosen), strict=True)
    [method] = fill(rng.choice(METHODS))
    parts = {
        "Background": f"{background}\n{rng.choice(EARLIER)}",
        "Why this review was made": why,
        "What was found": "\n".join(findings),
        "Recommendations": f"We recommend that {agency} " + _listed(advice) + ".",
        "Next steps": rng.choice(NEXT),
        "How the review was made": method,
        "Comments of the agency": subject["comments"],
    }
    report = f"{subject['title']}\n\n" + "\n\n".join(f"{a}\n{b}" for a, b in parts.items())
    summary = (
        f"{why} We found that {_listed(shorts)}. We recommend that {agency} {_listed(advice[:2])}."
    )
    return report, summary, " ".join(why.split()[:3])


def _listed(parts) -> str:
    """Phrases as one: "this and that", "this, that, and more"."""
    if len(parts) == 2:
        return " and ".join(parts)
    return ", ".join(parts[:-1]) + ", and " + parts[-1]
