"""Questions about one story (LongBench's ``narrativeqa``).

A story is one of twelve plots, told in six paragraphs with names drawn anew, with a few
quiet scenes between them, and with seven facts strewn over it: what somebody carried, feared,
collected, or had become. One of the facts is asked for. Each has its own wording and occurs
once, so that the answer is determined; the others are there to be mistaken for it. Answers
are two words or one rare one: their first token is chosen while the whole prompt is still in
the cache, and only the others depend on what a method keeps.
"""

import random

from kvbook.tasks.embedded import row

FACTS = 7
ROLES = ("hero", "friend", "elder")
SCENES = (4, 6)
HEROES = ["Nadia", "Clara", "Ingrid", "Selma", "Greta", "Livia", "Agnes", "Marta", "Odile", "Thea", "Ronja", "Ida"]  # fmt: skip
FRIENDS = ["Bruno", "Hugo", "Marco", "Pablo", "Oscar", "Anton", "Emil", "Jonas", "Rafael", "Tobias", "Leo", "Kaspar"]  # fmt: skip
ELDERS = ["Mrs Halloran", "Mr Pereira", "old Benedict", "Aunt Sidonie", "Captain Ruud", "Mrs Varga", "Uncle Tadeo", "Miss Okafor", "Mr Lindgren", "Grandmother Ilse"]  # fmt: skip
PLACES = ["Saltmarsh", "Hollowell", "Brackenford", "Miravento", "Ostrel Bay", "Larkhill", "Grauwasser", "Pinecombe", "Sandvik Point", "Valdoro"]  # fmt: skip

PLOTS = {
    "The lamp": [
        "{hero} came to {place} on the last ferry of the autumn. The crossing had been rough, and she stepped onto the quay with wet shoes and a suitcase that was tied with string. Above the roofs stood the lighthouse, and its lamp was dark.",
        "{friend} was waiting at the end of the quay with a handcart. He had written to her in September, four short lines, and had not said what was wrong. Now he told her that the lamp had been out for nine nights and that nobody dared to climb the tower.",
        "They went to see {elder}, who had kept the keys for longer than anyone could remember. The kitchen smelled of onions. \"The stairs are sound,\" said {elder}, \"but something up there is living in the clockwork, and it does not like visitors.\"",
        "At dusk they climbed. At every turn of the stairs {friend} stopped and listened. Near the top they heard it, a soft scratching, then a cry that made {hero} grip the rail.",
        "In the lamp room sat a young owl with one wing caught between the wheels. It had knocked over the oil and torn the wick to pieces. {hero} held it in her scarf while {friend} turned the wheel back, tooth by tooth, until the wing was free.",
        "By midnight the lamp was burning again. Boats that had waited in the lee of the island came home one after the other, and {elder} stood on the quay and counted them in. The owl stayed in the tower until spring, and after that it came back only to visit.",
    ],
    "The orchard wall": [
        "The orchard at {place} had belonged to two families, and for thirty years a wall had stood between them. {hero} grew up on the northern side, where the pears were, and was told never to look over.",
        "It was {friend} who first threw something across. It was an apple with a note stuck to it, and the note asked whether her pears were as hard as they looked. She sent one back without any note at all.",
        "All summer the fruit flew to and fro. {elder} saw it from an upper window and said nothing, but the ladder that had always been locked away was one morning leaning against the trunk of the tallest tree.",
        "In August a storm came up the valley in the night. It tore off branches, and the stream rose and pressed against the wall until it leaned. {hero} ran out in her nightshirt, and on the other side she heard {friend} calling.",
        "Before dawn the wall fell. It fell slowly, from the middle to both ends, and the water went through the gap and away down the hill. Nobody was hurt. For the first time the two families stood in the mud and looked each other in the face.",
        "They talked of building it up again, and every year they talked of it less. With the stones {elder} had an oven made, large enough for both houses. In the autumn the first cake that came out of it was of apples and pears together.",
    ],
    "The theatre on wheels": [
        "The travelling theatre reached {place} two days late, with a broken axle and no money. {hero} painted the scenery, sewed the costumes, and when somebody fell ill she played the queen.",
        "The innkeeper would not let them in without payment. {friend}, who did the lights and the thunder, offered to mend his clock. He took it to pieces on the bar and could not remember where the smallest wheel belonged.",
        "The clock was saved by {elder}, who was sitting in the corner over a plate of soup. It turned out that {elder} had been on the stage as a child and still knew the old plays by heart.",
        "They needed a king, for theirs had run off with the baker's cousin. So {elder} was given a crown of pasteboard and a cloak made from a curtain. At the rehearsal even the carpenter stopped hammering.",
        "On the evening of the play it rained, and the whole town crowded into the barn to stay dry. {friend} made thunder with a sheet of tin, and the real thunder answered him. {hero} laughed in the middle of her saddest speech, and the people laughed with her.",
        "They left on the third morning with a new axle and a full cash box. {elder} walked beside the wagon as far as the bridge, still wearing the crown, and then turned round. {hero} waved until the road bent.",
    ],
    "The map of the marsh": [
        "Nobody crossed the marsh behind {place} without a guide, and the last guide had grown too old for it. {hero} had come to draw a map. She had a compass, good boots, and six weeks.",
        "On the first day she sank in to the knee and lost her pencil. {friend}, who cut reeds for the thatchers, pulled her out with his rake. He said that the marsh moved, and that a map of it would be wrong by the time the ink was dry.",
        "She asked {elder}, the last of the guides, how one could know the way. {elder} closed both eyes and spoke of smells: mint where the ground is firm, iron where it is deep, and nothing at all where it is deepest.",
        "So {hero} began to draw smells. She gave each of them a colour, and {friend} carried the colours in a box on his back. In the evenings they compared what she had drawn with what {elder} remembered, and argued about the mint.",
        "In the fifth week two children did not come home. Fog lay over the reeds, and no light went further than an arm. With the map in her hand and her eyes closed {hero} walked out, and {friend} walked behind her and held on to her belt.",
        "They found the children asleep on a patch of mint. The map was printed the next year, and strangers took it for a joke, for there was no path on it. But in {place} it hangs in every kitchen, and people touch it before they go out.",
    ],
    "The bell": [
        "The bell of {place} had cracked in the frost, and a village without a bell has no evening. {hero}, who had learned to cast bronze from her mother, was sent for and came over the pass with two mules.",
        "She dug a pit behind the church and built the mould from clay, horsehair and dung. {friend} brought wood for the furnace every morning, and asked so many questions that she made him stir the clay to keep him quiet.",
        "There was too little metal. People brought candlesticks, door handles and a bathtub. {elder} brought nothing, but sat on a stool at the edge of the pit each day and watched.",
        "On the night before the casting {elder} came alone, with a lantern, and laid a heavy bundle on the ground. It was a ship's bell, green with age. \"It hung on a ship that I did not save,\" said {elder}. \"Let it be of use.\"",
        "They poured at dawn. The bronze ran like honey, and for an hour nobody spoke. {friend} had burned his eyebrows and did not notice until a child pointed at him. Then there was nothing to do but wait for the earth to cool.",
        "When the new bell rang for the first time, those who had been at sea lifted their heads, for there was another voice in it. {hero} was already on the pass by then. She stopped the mules and listened to the end.",
    ],
    "The borrowed house": [
        "{hero} had been lent a house in {place} for the winter, so that she could finish her book. The letter said that the roof was good, that the neighbours were kind, and that she should on no account open the blue room.",
        "For two weeks she did not even think of it. Then {friend}, who brought the milk, asked whether the singing kept her awake. She had heard no singing. That night she lay and listened, and towards three o'clock she heard it.",
        "She went to {elder}, who lived opposite and had seen many guests come and go. \"They all ask,\" said {elder}, \"and none of them asks the right thing. Ask who is sung to.\"",
        "The next night {hero} sat on the landing in her coat. {friend} had insisted on keeping her company and fell asleep at once with his head against the wall. At three the singing began, low and without words.",
        "She opened the door. In the blue room there was no ghost but a cradle, and above it a hole in the window where the wind blew across the neck of a bottle. Somebody had put it there on purpose, at just the right height.",
        "In spring she wrote to the owner and confessed. The answer was long. The bottle had been for a child who could not sleep, and the child was grown now and kept a shop in the city. {hero} left the window as it was, and the singing went into her book.",
    ],
    "The slow train": [
        "The train to {place} was the slowest in the country. It stopped for cows, for weddings, and for anyone who held up an umbrella. {hero} was its guard, and she knew each passenger by the sound of the boots.",
        "One morning a gentleman from the ministry got on and looked at his watch for the whole of the way. {friend}, who fired the engine, saw at once that there would be trouble and put on more coal than he ever had.",
        "A week later came the letter. The line was to be closed at the end of the year, since it served no purpose. {elder} read it aloud in the waiting room, and then read it again, as if it might end differently.",
        "They made a plan. {hero} counted everything that the train carried in a month: the eggs, the schoolbooks, the violins, the midwife. {friend} drew it all on a roll of wallpaper, and it was longer than the platform.",
        "{elder} took the roll to the capital and unrolled it down the stairs of the ministry. People came out of their offices and walked along it. The gentleman with the watch followed it to the end, and there he found himself, drawn with great care, asleep against the window.",
        "The line was not closed. It was given a new carriage, and the gentleman came to the celebration. He held up an umbrella between two stations, to see whether it was true, and the train stopped for him.",
    ],
    "The clock that ran backwards": [
        "In the window of the clockmaker's shop in {place} stood a clock that ran backwards. {hero} passed it on her way to school and on her way home, and she never understood why nobody mended it.",
        "When she was fifteen she became an apprentice there. {friend} had begun a year before her and thought that he knew everything. He showed her how to hold a spring, and it flew past his ear and into the stove.",
        "The shop belonged to {elder}, who spoke little. Of the clock in the window {elder} said only that it was right twice a day like any other, and that it was not for sale.",
        "One evening in winter {hero} stayed behind and opened the case. On the inside of the door someone had written dates in pencil, one below the other, and the last of them lay in the future. She did not tell {friend} until he noticed that she had stopped laughing.",
        "They waited for the day, and told each other that nothing would happen. In the morning {elder} came down in a good coat, set the hands by the church tower, and touched the pendulum. The clock ran forwards as if it had never done anything else.",
        "\"I promised my brother to wait for him as long as he was away,\" said {elder}. At noon the bus came, and an old man got out of it with a small bag. {hero} and {friend} shut the shop, though it was a Tuesday, and let the two of them sit among the clocks.",
    ],
    "The ice road": [
        "Every winter the lake in front of {place} froze, and for ten weeks there was a road across it. {hero} drove the mail sledge. Her mother had driven it before her, and the dogs were the grandchildren of her mother's dogs.",
        "That year the ice came late and was dark. {friend}, who measured it each morning with an auger, shook his head and painted a red mark on the post. But at the other shore there was fever, and the medicine lay at the station.",
        "{elder} remembered a winter like this one. \"Do not look for thick ice,\" said {elder}. \"Look for old ice. It is white, and it follows the current like a cat follows the sun.\"",
        "They set out before light. {friend} walked ahead on skis with a long pole across his back, and {hero} kept the dogs apart, so that the weight was never in one place. Under them the lake groaned and rang like a string.",
        "In the middle the white ice ended. They lay flat on their stomachs and pushed the box before them for an hour. A crack opened behind the sledge, quite slowly, and closed again as if it had thought better of it.",
        "The doctor on the other shore asked no questions and put the kettle on. They stayed for three days. When they came back {elder} was standing on the landing stage with a lantern, in full daylight, and said that it had been lit the whole time.",
    ],
    "The museum of lost things": [
        "The smallest museum in the country stood in {place}, above a shop for hats. It showed only things that had been lost, and {hero} had taken it over from a great-aunt, together with a cat and a debt.",
        "Most visitors came in out of the rain. {friend} came in out of curiosity and stayed, for he had a gift for labels. He wrote on one of them: umbrella, black, left on a tram by someone who was in love.",
        "One day {elder} stopped in front of a glove. It was a child's glove, red, with a hole in the thumb. {elder} stood before it until closing time, and came back on the following day with the other one.",
        "After that things changed. People heard of it, and came to look for what they had lost themselves. {hero} gave everything back that was asked for, and the cases grew empty. {friend} went on writing labels for the empty places.",
        "By the summer there was nothing left in the museum but the cat. {hero} meant to close it. On the last afternoon the stairs creaked, and a long line of people came up, each with something in the hand that they had found.",
        "So it began again. The debt was paid in coins that had been lost in sofas. {elder} now sits at the entrance and sells the tickets, with a pair of red gloves on a nail above the table.",
    ],
    "The violin in the snow": [
        "On the road above {place} {hero} found a violin case in the snow. There were no footprints near it. She carried it down to the inn under her coat and put it beside the stove to dry.",
        "Inside there was a violin without strings and a ticket for a concert that had been given the evening before. {friend}, who played for the dancers on Saturdays, turned it to the light and whistled. It was worth more than the inn.",
        "They asked everybody who came down from the pass. The carter knew nothing, the teacher knew nothing, and {elder} said that whoever throws away a violin in winter does not want to be found.",
        "{friend} put on strings, only to see whether it was sound. He played an old lullaby, and upstairs a door opened. A guest who had not left her room for three days stood on the stairs and held on to the banister.",
        "She had played in the great halls, she told them, until one evening her hands had begun to shake. {hero} gave her soup. {elder} moved over on the bench to make room, and showed her two hands that had shaken for forty years and had built every chair in the house.",
        "She stayed until the thaw. On the last Saturday she played for the dancers, the slow ones first, and if her hands shook nobody saw it. The violin is still at the inn. She said that it should hang where it is warm.",
    ],
    "The well": [
        "The well of {place} gave out in the third dry summer. {hero} heard it first, for she drew the water for the school. The bucket went down as always, and instead of a splash there was a knock.",
        "{friend} let himself down on a rope with a lamp on his hat. He was gone so long that she began to pull. He came up grey with dust and said that the bottom was not rock. It was a door.",
        "The village met in the shade of the mulberry tree. Some wanted to break the door open and some wanted to leave it shut. {elder} had fallen asleep, or so it seemed, and woke up only to say that doors are generally meant for going through.",
        "It took them two days to clear the stones away. Behind the door was a passage, lined with brick, just high enough for a child. {hero} went first because she was the smallest. {friend} gave her the end of a string and told her to pull it twice if all was well.",
        "She went down steps that were worn in the middle. There was a smell of rain. At the end of the passage lay a basin as large as a dancing floor, full to the brim, and on the wall were the names of all who had built it. She pulled the string so hard that it broke.",
        "Since then {place} has had water in every summer. Once a year they let the children down to read out the names. {elder} found among them that of a great-grandmother, and has told everybody about it, some of them twice.",
    ],
}  # fmt: skip
"""By title: six paragraphs."""

QUIET = [
    "In the afternoon it rained for a while. The gutters ran over, and a boy sailed a walnut shell from one end of the street to the other.",
    "They ate bread and cold sausage on the steps and did not talk much. A dog came by, looked at each of them, and decided to stay.",
    "The evening was mild for the time of year. Somewhere a window was open, and someone was learning to play the same four bars.",
    "That night there were so many stars that it was hard to sleep. The wind had gone down, and one could hear the clock in the hall.",
    "On Sunday everybody slept late. The smell of coffee went up the stairs, and after it, one by one, the people came down.",
    "It was market day, and the square was full of hens and arguments. A woman sold honey from a wheelbarrow and gave a spoonful to every child.",
    "The days grew shorter. In the mornings there was frost on the inside of the panes, and the cat slept in the bread basket.",
    "A parcel arrived with too much string around it. It was for somebody else, as it turned out, and they were a little sorry.",
    "Nothing happened for a week, and that was welcome. They mended what was broken and aired the blankets in the sun.",
    "The postman came by bicycle and stayed for a glass of plum juice. He said that it would snow, and that he had been wrong only once.",
    "There was a quarrel about a ladder. It lasted two days and ended when the ladder was found behind the shed, where it had always been.",
    "A swarm of starlings came over in the dusk and turned all at once, like a page. Everyone in the street stopped to look.",
    "They sat by the stove and played cards for dried beans. The smallest player won, and would not say how.",
    "In the morning there was fog. It came in at the door with everyone who entered, and it smelled of leaves.",
    "A peddler stopped at the gate with ribbons and needles. He knew the news from three valleys and told it in the wrong order.",
    "The soup was too salty, and nobody said so. They drank a great deal of water and went early to bed.",
    "The children had built a tower of stones by the path. Whoever passed put another one on top, and it did not fall.",
    "For an hour the sun came out, and all the washing in the village was hung up at once.",
]  # fmt: skip

JOBS = ["a lighthouse keeper", "a dancing teacher", "a watchmaker", "a bee keeper", "a judge", "a puppet player", "a pastry cook", "a train driver", "a glass blower", "a deep-sea diver"]  # fmt: skip
THINGS = ["a silver thimble", "a box of matches", "a broken compass", "a lump of amber", "a brass whistle", "a pack of cards", "a small bottle of ink", "a dried sea horse", "a wooden spoon", "a bag of marbles"]  # fmt: skip
FEARS = ["rolling thunder", "house spiders", "deep water", "wild geese", "narrow staircases", "the dark cellar", "white moths", "high bridges"]  # fmt: skip
DISHES = ["pumpkin soup", "plum dumplings", "fried herring", "rice pudding", "mushroom pie", "lentil stew", "poppy seed cake", "roasted chestnuts"]  # fmt: skip
INSTRUMENTS = ["the accordion", "the cello", "the trumpet", "the mandolin", "the flute", "the bagpipes", "the harp", "the drums"]  # fmt: skip
DOGS = ["Captain Pepper", "Little Biscuit", "Old Mango", "Lady Waffle", "Mister Button", "Sailor Joe", "Double Shadow", "Princess Juniper"]  # fmt: skip
TOWNS = ["Kestermouth", "Fallowmere", "Ravelstoke", "Tarnborough", "Vellacott", "Nettlecombe", "Oxenbury", "Gravenholt"]  # fmt: skip
HIDDEN = ["under the doormat", "in the sugar bowl", "behind the mirror", "in a hollow tree", "under a flower pot", "inside the piano", "in an old boot", "on top of the wardrobe"]  # fmt: skip
CLOTHES = ["a green velvet jacket", "a straw hat", "two different socks", "a yellow raincoat", "a woollen scarf", "a leather apron", "red wooden shoes", "a grey fur cap"]  # fmt: skip
COLLECTIONS = ["old postcards", "bird feathers", "ship models", "glass buttons", "pressed flowers", "empty bottles", "keys without locks", "railway tickets"]  # fmt: skip
COLOURS = ["dark green", "lemon yellow", "sky blue", "burnt orange", "dusty purple", "chalk white", "bright red", "coal black"]  # fmt: skip
GIFTS = ["a pair of skates", "a music box", "a telescope", "a canary", "a cookery book", "a globe", "a pocket watch", "a rocking chair"]  # fmt: skip
GARDEN = ["two goats", "a tame heron", "a tortoise", "three white geese", "a blind donkey", "seven rabbits", "a peacock", "a pair of hedgehogs"]  # fmt: skip
BOATS = ["the Marigold", "the Silver Gull", "the Patience", "the Northern Star", "the Old Duchess", "the Swallow", "the Good Hope", "the Wild Goose"]  # fmt: skip
SUBJECTS = ["plane geometry", "the history of bridges", "Latin grammar", "the movements of the stars", "alpine botany", "French cookery", "maritime law", "shipbuilding and navigation"]  # fmt: skip

TELLING = [
    ("The brother of {who} had become {answer}.", "What had the brother of {who} become?", "The brother of {who} had become", JOBS),
    ("In one coat pocket {who} always carried {answer}.", "What did {who} always carry in one coat pocket?", "In one coat pocket {who} always carried", THINGS),
    ("More than anything else {who} was afraid of {answer}.", "What was {who} afraid of more than anything else?", "More than anything else {who} was afraid of", FEARS),
    ("The favourite dish of {who} was {answer}.", "What was the favourite dish of {who}?", "The favourite dish of {who} was", DISHES),
    ("As a child {who} had learned to play {answer}.", "What had {who} learned to play as a child?", "As a child {who} had learned to play", INSTRUMENTS),
    ("The dog of {who} was called {answer}.", "What was the dog of {who} called?", "The dog of {who} was called", DOGS),
    ("The parents of {who} lived in {answer}.", "Where did the parents of {who} live?", "The parents of {who} lived in", TOWNS),
    ("The spare key of {who} was hidden {answer}.", "Where was the spare key of {who} hidden?", "The spare key of {who} was hidden", HIDDEN),
    ("On holidays {who} used to wear {answer}.", "What did {who} use to wear on holidays?", "On holidays {who} used to wear", CLOTHES),
    ("For many years {who} had collected {answer}.", "What had {who} collected for many years?", "For many years {who} had collected", COLLECTIONS),
    ("The front door of {who} was painted {answer}.", "What colour was the front door of {who} painted?", "The front door of {who} was painted", COLOURS),
    ("For the last birthday {who} had been given {answer}.", "What had {who} been given for the last birthday?", "For the last birthday {who} had been given", GIFTS),
    ("In the garden {who} kept {answer}.", "What did {who} keep in the garden?", "In the garden {who} kept", GARDEN),
    ("The boat of {who} was named {answer}.", "What was the boat of {who} named?", "The boat of {who} was named", BOATS),
    ("At the evening school {who} had studied {answer}.", "What had {who} studied at the evening school?", "At the evening school {who} had studied", SUBJECTS),
]  # fmt: skip
"""How a fact is told, how it is asked for, how the answer begins, and what it may be."""


def make(count: int, rng: random.Random) -> list[dict]:
    """Items of this task; see `kvbook.tasks.embedded.items.build`."""
    titles = [title for _ in range(-(-count // len(PLOTS))) for title in _shuffled(rng, PLOTS)]
    rows, asked = [], set()
    for number, title in enumerate(titles[:count]):
        depth = (number * 7 % count + 0.5) / count
        while True:
            story, question, opening, answer = _story(rng, title, depth)
            if question not in asked:
                break
        asked.add(question)
        rows.append(row("narrativeqa", number, story, [answer], question=question, opening=opening))
    return rows


def _shuffled(rng: random.Random, words) -> list[str]:
    return rng.sample(sorted(words), len(words))


def _story(rng: random.Random, title: str, depth: float) -> tuple[str, str, str, str]:
    """A story, and a question about the fact that stands nearest to ``depth`` in it."""
    names = {
        "hero": rng.choice(HEROES),
        "friend": rng.choice(FRIENDS),
        "elder": rng.choice(ELDERS),
        "place": rng.choice(PLACES),
    }
    paragraphs = [paragraph.format(**names) for paragraph in PLOTS[title]]
    for scene in rng.sample(QUIET, rng.randint(*SCENES)):
        paragraphs.insert(rng.randint(1, len(paragraphs) - 1), scene)
    facts, read = [], list(paragraphs)
    places = sorted(rng.sample(range(1, len(paragraphs) - 1), FACTS))
    for place, telling in zip(places, rng.sample(TELLING, FACTS), strict=True):
        told, question, opening, answers = telling
        known = [names[who] for who in ROLES if names[who] in " ".join(read[: place + 1])]
        fact = {"who": rng.choice(known), "answer": rng.choice(answers)}
        paragraphs[place] += " " + _upper(told.format(**fact))
        facts.append((question.format(**fact), _upper(opening.format(**fact)), fact["answer"]))
    question, opening, answer = facts[int(depth * FACTS)]
    return f"{title}\n\n" + "\n\n".join(paragraphs), question, opening, answer


def _upper(sentence: str) -> str:
    return sentence[0].upper() + sentence[1:]
