"""Classification by examples (LongBench's ``trec``): what kind of answer a question wants.

The context is forty questions with their types, five of each of eight types, in any order;
the question that is asked is not among them. Many do not begin with the word that would give
them away: "The harbour of which town froze over?" wants a place. All types begin with "the":
the first token of an answer is chosen while the whole prompt is still in the cache, and only
the second depends on what a method keeps.
"""

import random

from kvbook.tasks.embedded import row

EXAMPLES = 5
"""Questions of each type in a context."""
QUESTIONS = {
    "the number": [
        "How many legs does a spider have?",
        "How many strings are there on a violin?",
        "What is the number of keys on an ordinary piano?",
        "How many players stand on a volleyball court?",
        "Of how many islands does the archipelago consist?",
        "How many steps lead up to the lighthouse?",
        "What is the number of stars on the flag of the club?",
        "How many eggs does a blackbird lay?",
        "In the whole valley, how many farms still have a mill?",
        "How many teeth does a grown horse have?",
        "How many rooms did the old hotel have?",
        "What number of sailors came back from the voyage?",
        "How many pages are in the first volume of the atlas?",
        "Roughly how many bees live in one hive?",
        "How many sides has a honeycomb cell?",
        "How many languages are spoken on the peninsula?",
        "How many apples does the tree bear in a good year?",
        "What is the number of passengers that the ferry may carry?",
    ],
    "the person": [
        "Who painted the ceiling of the chapel?",
        "Who wrote the first dictionary of the dialect?",
        "Which engineer designed the iron bridge?",
        "By whom was the telescope invented?",
        "Who discovered the source of the river?",
        "What is the name of the captain who sailed around the cape?",
        "Which composer wrote a symphony about the sea?",
        "Who was the first woman to climb the north face?",
        "Whose diary was found in the attic of the mill?",
        "Who taught the prince to play chess?",
        "Which architect rebuilt the town hall after the fire?",
        "Who kept the lighthouse during the great storm?",
        "By whom was the song of the miners written?",
        "Who founded the school for clockmakers?",
        "What was the name of the baker who fed the whole street?",
        "Which gardener brought the tulip to the palace?",
        "Who translated the old legends into English?",
        "To whom did the merchant leave his house?",
    ],
    "the place": [
        "Where is the tallest lighthouse of the coast?",
        "Where do storks spend the winter?",
        "In which city was the first tram built?",
        "From which country does the tulip come?",
        "The harbour of which town froze over?",
        "Where can you see the northern lights?",
        "What is the capital of the island republic?",
        "On which mountain was the observatory built?",
        "Where was the first clock tower made?",
        "Which village lies at the end of the valley railway?",
        "Where does the river flow into the sea?",
        "In what country do people speak Finnish?",
        "Where did the caravans rest before the desert?",
        "Which island is famous for its lace?",
        "Where do the eels of the lake lay their eggs?",
        "In which valley is the cheese with the red rind made?",
        "Through which town does the old salt road run?",
        "Where was the lost manuscript found?",
    ],
    "the date": [
        "When did the old bridge fall?",
        "When was the harbour built?",
        "In what year did the last steam train run?",
        "On which day does the museum open for the first time?",
        "When does the cherry festival begin?",
        "What year was the lighthouse lit for the first time?",
        "In which month do the swallows return?",
        "When was the first postage stamp printed?",
        "On what date was the treaty of the two cities signed?",
        "When did the theatre close its doors?",
        "In what century was the tower of the abbey built?",
        "When was the comet last seen?",
        "On which day of the year is the night shortest?",
        "When did the ferry make its first crossing?",
        "In what year was the botanical garden founded?",
        "When will the next eclipse be seen?",
        "In which month is the grape harvest?",
        "When was the library given its new roof?",
    ],
    "the price": [
        "How much does a loaf of bread cost?",
        "How much is a ticket to the island?",
        "What did the painting sell for at the auction?",
        "What is the price of a kilogram of saffron?",
        "How much did the horse cost?",
        "How much do they charge for a night at the inn?",
        "What was paid for the oldest violin?",
        "For how much was the castle sold?",
        "What does a day pass for the tram cost?",
        "How much money is asked for a hand-made clock?",
        "What is the fare from the harbour to the airport?",
        "How much rent does the bakery pay?",
        "How much did a sack of flour cost before the war?",
        "What is the entrance fee of the museum?",
        "How expensive is a pair of good boots?",
        "What price did the merchant ask for the carpet?",
        "How much does it cost to send a letter abroad?",
        "How much must one pay for a cup of coffee on the square?",
    ],
    "the colour": [
        "What colour is a ripe plum?",
        "What colour is the egg of a robin?",
        "Which colour do you get from yellow and blue?",
        "What is the colour of sulphur?",
        "In what colour are the doors of the fishermen painted?",
        "What colour do maple leaves turn in autumn?",
        "Of what colour was the uniform of the postmen?",
        "Which colour is in the middle of the rainbow?",
        "What colour is copper after a hundred years of rain?",
        "The flag of the lifeboat has which colour?",
        "What colour is the flower of the flax?",
        "Which colour did the painter never use?",
        "What is the colour of the ink in the old letters?",
        "What colour are the boats of the harbour pilots?",
        "What colour is the inside of a fig?",
        "In which colour does the lamp of the buoy shine?",
        "What was the colour of the queen's carriage?",
        "What colour does litmus take in vinegar?",
    ],
    "the animal": [
        "Which animal sleeps upside down?",
        "Which animal carries its house on its back?",
        "What animal has the longest tongue?",
        "Which bird lays its eggs in the nests of others?",
        "What animal builds dams across rivers?",
        "Which fish swims up the river to spawn?",
        "What is the fastest animal on land?",
        "Which insect makes silk?",
        "What animal pulled the sledges of the explorers?",
        "Which bird cannot fly but swims very well?",
        "What kind of animal is on the coat of arms?",
        "Which animal digs tunnels under the lawn?",
        "What animal can change the colour of its skin?",
        "Which animal did the miners take underground to warn them?",
        "What animal sheds its antlers every year?",
        "Which is the largest animal of the sea?",
        "What animal did the shepherd keep to guard his sheep?",
        "Which animal collects nuts for the winter?",
    ],
    "the method": [
        "How do you sharpen a knife?",
        "What is the best way to boil an egg?",
        "How can you remove a stain of wine?",
        "How is paper made from wood?",
        "In what way do bees tell each other where to fly?",
        "How does one tie a bowline?",
        "What is the right way to prune a rose?",
        "How do you keep bread fresh?",
        "How can a sailor find north without a compass?",
        "By what means is salt won from the sea?",
        "How do you tune a guitar?",
        "What should you do to stop a door from creaking?",
        "How is glass blown?",
        "How do you polish old silver?",
        "In what manner is cheese given its holes?",
        "How can you tell a fresh egg from an old one?",
        "What is a good way to learn a poem by heart?",
        "How do you light a fire in the rain?",
    ],
}


def make(count: int, rng: random.Random) -> list[dict]:
    """Items of this task; see `kvbook.tasks.embedded.items.build`."""
    types, rows = sorted(QUESTIONS), []
    left = {kind: rng.sample(QUESTIONS[kind], len(QUESTIONS[kind])) for kind in types}
    order = [kind for _ in range(-(-count // len(types))) for kind in rng.sample(types, len(types))]
    for number, kind in enumerate(order[:count]):
        asked, shown = left[kind].pop(), []
        for other in types:
            pool = [question for question in QUESTIONS[other] if question != asked]
            shown += [(question, other) for question in rng.sample(pool, EXAMPLES)]
        rng.shuffle(shown)
        context = "\n".join(f"Question: {question}\nType: {other}" for question, other in shown)
        question = f"Question: {asked}\nType:"
        rows.append(row("trec", number, context, [kind], question=question, classes=types))
    return rows
