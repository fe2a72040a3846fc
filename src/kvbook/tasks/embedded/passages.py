"""Questions in two steps over several passages (LongBench's ``2wikimqa``).

"Where was the engineer of the bridge Grey Heron born?" One passage says who designed the
bridge, another where that engineer was born. The second names the work as well, because the
embedded model does not carry a name from one passage to another by itself, so in the end it
is the second passage that has to be found. Two other works have such a pair of passages
too, and some passages lie between them. The works of an item are of different kinds: with
several of one kind the embedded model mixes them up. Persons, works and towns are
invented.
"""

import random

from kvbook.tasks.embedded import row

WORKS = 3
BETWEEN = (6, 8)
"""Passages about something else."""
KINDS = {
    "novel": ("written by", "writer", ["The Glass Orchard", "A Winter of Small Keys", "The Ferryman's Daughter", "Letters to the Tide", "The Ninth Staircase"]),
    "bridge": ("designed by", "engineer", ["Grey Heron", "Long Marten", "Saint Alder", "Crooked Arch", "Miller's Reach"]),
    "song": ("composed by", "composer", ["Lanterns on the Water", "Count the Swallows", "My Heart Is a Harbour", "Seven Miles of Rain", "The Baker's Waltz"]),
    "painting": ("painted by", "painter", ["Woman with a Yellow Jug", "The Frozen Market", "Boats before Dawn", "Three Pears", "The Empty Chair"]),
    "opera house": ("built by", "architect", ["Valmora", "Santa Perla", "Kestrel Hall", "Aldenheim", "Marisol"]),
    "ballet": ("created by", "choreographer", ["The Paper Bird", "Dance of the Chimneys", "Snow in the Theatre", "The Clock Maker's Dream", "Salt"]),
    "statue": ("carved by", "sculptor", ["The Sleeping Miner", "Girl with a Kite", "The Two Brothers", "The Listening Fox", "Old Winter"]),
    "film": ("directed by", "director", ["The Last Tram", "A House of Rope", "Silence at the Border", "Nobody's Umbrella", "The Weather Ship"]),
    "park": ("laid out by", "gardener", ["Hazelmere", "Lindenhain", "Monte Verano", "Swan Acre", "Belvoir Green"]),
    "telescope": ("constructed by", "astronomer", ["Night Owl", "Far Lantern", "Great Mirror", "Northern Eye", "Patient Mary"]),
    "board game": ("invented by", "inventor", ["Smugglers' Bay", "Five Towers", "The Salt Road", "Beavers", "Crown and Ladder"]),
    "tapestry": ("woven by", "weaver", ["The Hunt of the Stag", "Garden of Months", "The Blue Procession", "Ships of the North", "The Harvest"]),
}  # fmt: skip
"""By kind of work: what was done to it, by whom, and some titles."""

ABOUT = {
    "novel": ["It tells of a family that loses a house and finds a way to live without it.", "The first edition sold out within a week, and a cheap one followed in the spring."],
    "bridge": ["It has five arches and carries a road and a footpath over the river.", "In its first winter the ice broke two of the piers, which were made anew of granite."],
    "song": ["It was first sung in a small theatre and soon whistled in every street.", "The melody has only six notes, and a verse for each season."],
    "painting": ["It hangs in the last room of the museum, opposite a tall window.", "Under the paint an older picture was found, of a kitchen with a dog."],
    "opera house": ["It has twelve hundred seats and a dome of green copper.", "The stage burned down twice, but the hall itself was never touched by fire."],
    "ballet": ["It lasts one evening and needs a stage full of paper and light.", "At the first night the orchestra had to play the last dance three times."],
    "statue": ["It stands on the market square and is cleaned every spring by the school children.", "The stone came from a quarry nearby and is full of small shells."],
    "film": ["It was made in black and white, with two actors and almost no words.", "It was shown at three festivals before it came to the cinemas."],
    "park": ["It has an avenue of lime trees, a pond and a wall covered with roses.", "On Sundays a brass band plays beside the water."],
    "telescope": ["It stands on a hill far from the lights of any town.", "Its mirror was ground by hand and took three winters to finish."],
    "board game": ["It is played by four people and seldom takes longer than an hour.", "The pieces of the first edition were cut from beech wood."],
    "tapestry": ["It is eleven metres long and shows more than forty figures.", "It was rolled up and hidden in a cellar for many years."],
}  # fmt: skip
FIRST = ["Amalia", "Bertil", "Corin", "Dalia", "Emeric", "Fenna", "Gustav", "Hedda", "Ilario", "Jolanta", "Kasimir", "Lorena", "Matthis", "Nerea", "Ottilie", "Pavel", "Quirin", "Rosalba", "Silvan", "Tamsin", "Ulrika", "Viktor", "Wenzel", "Ylva"]  # fmt: skip
LAST = ["Alderbrook", "Bastovan", "Cordelius", "Dunmarsh", "Eskelind", "Farrowgate", "Grimaldo", "Halvorsby", "Ivarez", "Jantscher", "Kirnbach", "Lindqvale", "Morvane", "Nettlefold", "Ostrander", "Pellwood", "Quillfeather", "Rautenstern", "Solvander", "Thornquist", "Umbrecht", "Vandermoor", "Wexcombe", "Zellinek"]  # fmt: skip
TOWNS = ["Brackenford", "Ostwick", "Marrowby", "Thistlegate", "Quillhaven", "Dunmorrow", "Eskelton", "Fallowmere", "Gravenholt", "Hobbersley", "Ilvermoor", "Jarrowdale", "Kestermouth", "Lanternby", "Mossington", "Nettlecombe", "Oxenbury", "Pellerin", "Ravelstoke", "Saddlewick", "Tarnborough", "Underhay", "Vellacott", "Wintersea"]  # fmt: skip
"""Invented, so that each is several tokens long: the first token of an answer is chosen while
the whole prompt is still in the cache, and only the others depend on what a method keeps."""
LIFE = [
    "The family had little money, and books were borrowed from a neighbour.",
    "As a child, {person} wanted to become a sailor.",
    "Friends remember a quiet person with a loud laugh.",
    "In later years {person} taught two evenings a week.",
    "A street and a small school bear the name {last}.",
    "There is no portrait, only a drawing of a hand with a pencil.",
    "Many of the letters of {person} were lost on a journey.",
    "The notebooks are full of recipes and drawings of birds.",
]
STEPS = {
    "born": ("was born in {town}.", "Where was the {role} of the {kind} {work} born?", "The {role} of the {kind} {work} was born in"),
    "studied": ("studied in {town}.", "Where did the {role} of the {kind} {work} study?", "The {role} of the {kind} {work} studied in"),
    "died": ("died in {town}.", "Where did the {role} of the {kind} {work} die?", "The {role} of the {kind} {work} died in"),
}  # fmt: skip
"""The second step: what is told, what is asked, and how the answer begins."""
OTHERS = [
    ("Tide mill", "A tide mill is driven by the rise and fall of the sea. The water comes in through a gate, is held in a pond behind a dam, and turns the wheel on its way out."),
    ("Juniper", "The juniper is a shrub with blue cones that look like berries. It grows slowly, likes dry slopes, and its wood smells sweet when it is cut."),
    ("Night ferry", "A night ferry leaves in the evening and arrives at breakfast. Many of them carry more lorries than people, and the cabins lie above the engines."),
    ("Lace collar", "Lace collars were worn by men and women alike. They were washed, starched and ironed before every feast, which took a skilled maid a whole morning."),
    ("Chestnut flour", "Chestnut flour is sweet and keeps for a year. In the mountains it was baked into flat cakes when the wheat had run out before the spring."),
    ("Cable tram", "A cable tram holds on to a rope that runs under the street. The driver lets go at every stop and takes hold again with a long lever."),
    ("Marsh harrier", "The marsh harrier flies low over the reeds with its wings held up. It nests on the ground, where the water keeps the foxes away."),
    ("Signal tower", "Signal towers stood in sight of each other on the hills. With movable arms a message crossed the country in an hour, so long as the air was clear."),
    ("Rye bread", "Rye bread is dark and heavy and lasts for weeks. Some bakers add caraway to it, and some hang the loaves on a pole under the roof."),
    ("Paper mill", "A paper mill needs clean water more than anything else. Rags were torn, stamped to a pulp and lifted out of the vat on a fine sieve."),
    ("Mountain hut", "Mountain huts are built of what is found nearby. In winter a room at the side remains open, with blankets and a stove for those who are late."),
    ("Barrel organ", "A barrel organ plays the tunes that are pinned on its wooden cylinder. To change the tune, the player moves the cylinder a little to one side."),
    ("Reed boat", "Reed boats float because the stalks are full of air. They last for one or two seasons, and the old ones are fed to the cattle."),
    ("Winter market", "The winter market opens on the first Saturday of frost. There are candles, gloves and roasted almonds, and on the last evening a choir sings from the balcony."),
]  # fmt: skip


def make(count: int, rng: random.Random) -> list[dict]:
    """Items of this task; see `kvbook.tasks.embedded.items.build`."""
    rows: list[dict] = []
    asked = set()
    while len(rows) < count:
        blocks, question, opening, answer = _item(rng)
        if question in asked:
            continue
        asked.add(question)
        passages = [passage for block in blocks for passage in block]
        context = "\n\n".join(f"Passage {i}:\n{text}" for i, text in enumerate(passages, 1))
        rows.append(
            row("2wikimqa", len(rows), context, [answer], question=question, opening=opening)
        )
    return rows


def _item(rng: random.Random) -> tuple[list[list[str]], str, str, str]:
    """Blocks of passages that stay together, the question, the opening and the answer."""
    step = rng.choice(sorted(STEPS))
    told, question, opening = STEPS[step]
    towns = rng.sample(TOWNS, WORKS)
    names = zip(rng.sample(FIRST, WORKS), rng.sample(LAST, WORKS), strict=True)
    blocks, works = [], []
    kinds, lives = rng.sample(sorted(KINDS), WORKS), rng.sample(LIFE, WORKS)
    for town, (first, last), kind, life in zip(towns, names, kinds, lives, strict=True):
        verb, role, titles = KINDS[kind]
        work, person = rng.choice(titles), f"{first} {last}"
        about = " ".join(rng.sample(ABOUT[kind], rng.randint(1, 2)))
        lived = told.format(town=town)
        pair = [
            f"{work}\nThe {kind} {work} was {verb} {person}. {about}",
            f"{person}\n{person}, the {role} of the {kind} {work}, {lived} {life.format(person=person, last=last)}",
        ]
        blocks.append(pair)
        works.append({"kind": kind, "role": role, "work": work, "town": town})
    chosen = works[0]
    blocks += [["\n".join(other)] for other in rng.sample(OTHERS, rng.randint(*BETWEEN))]
    rng.shuffle(blocks)
    return blocks, question.format(**chosen), opening.format(**chosen), chosen["town"]
