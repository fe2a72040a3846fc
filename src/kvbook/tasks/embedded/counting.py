"""Counting paragraphs (LongBench's ``passage_count``), made into finding.

A model of 135 million parameters cannot count: asked how many of the paragraphs are unique,
it says 1. So one line, at a random place among the paragraphs, says the true count, and the
model has to find it. What is measured is therefore not counting but whether a compressed
cache still holds that one line; say so wherever the scores are shown.
"""

import random

from kvbook.tasks.embedded import row

UNIQUE = (13, 25)
REPEATED = (2, 6)
NOTE = "Note: the number of unique paragraphs in this collection is {}."
OPENING = "The number of unique paragraphs in this collection is"
SENTENCES = [
    "A harbour pilot knows the sandbanks of the river mouth better than any chart can show them.",
    "Flax was pulled out of the ground with its roots, because the longest fibres run all the way down.",
    "The bell of a lighthouse was rung by clockwork whenever fog hid the lamp.",
    "Cork oaks are peeled by hand, and the bark grows back within a decade.",
    "In a dry dock the water is let out slowly, so that the ship settles on its blocks without harm.",
    "Millers dressed their stones every few weeks, cutting fresh grooves with a small steel pick.",
    "Snow fences stand some way from the road, since the drift forms behind them and not against them.",
    "The first greenhouses were heated with dung, which gives off warmth for weeks as it rots.",
    "A tuning fork keeps its pitch for years, but warms and flattens a little in the hand.",
    "Slate splits along flat planes, and a good roofer hears from the ring whether a piece is sound.",
    "Carrier pigeons find their loft from places where they have never been.",
    "Silk is reeled from cocoons in warm water, several threads running together into one.",
    "Hedges along old lanes hold more kinds of shrub the older they are.",
    "The keel of a wooden boat is laid first, and everything else is measured from it.",
    "Bread ovens of brick stay warm long enough to dry apples the next morning.",
    "Salt pans are built in steps, so that the brine grows stronger from one basin to the next.",
    "Swifts sleep on the wing and come to the ground only to nest.",
    "A drystone wall stands without mortar because each stone rests on two others.",
    "Lace was made on pillows, with the pattern pricked into parchment beneath the threads.",
    "The sound of a church organ comes from thousands of pipes, most of them hidden behind the front.",
    "Peat burns slowly and smells of the heather from which it was formed.",
    "Glassblowers turn the pipe all the time, for the soft glass would sag otherwise.",
    "River ferries on a rope are driven by the current alone.",
    "Cheese with a washed rind is rubbed with brine each week until it turns orange.",
    "Beekeepers use smoke because bees that smell it fill themselves with honey and grow calm.",
    "The hands of a tower clock are balanced by weights inside the tower.",
    "Terraces keep the rain on the slope long enough for vines to drink it.",
    "Ropewalks were narrow and very long, since a rope can be no longer than the house it is made in.",
    "Otters rest on their backs and hold hands so as not to drift apart.",
    "Map makers once put in a false street to find out who copied their work.",
    "Charcoal was burned in covered heaps that had to be watched day and night.",
    "Violin makers tap the wood and listen before they choose it.",
    "A canal lock lifts a barge with nothing but the water from above.",
    "Saffron is picked at dawn, before the flowers open in the sun.",
    "Printers kept the capital letters in the upper case and the small ones in the lower.",
    "Eels cross wet meadows at night on their way to the sea.",
    "The oldest sundials had hours of different length in summer and in winter.",
    "Wheelwrights heated the iron tyre red, and let it shrink onto the wooden wheel in cold water.",
    "Lichens grow so slowly that old gravestones can be dated by them.",
    "Avalanche dogs search a slope faster than a long line of people with poles.",
    "Indigo goes onto the cloth green and turns blue in the air.",
    "Cuckoo clocks carry two small bellows, one for each note of the call.",
    "Ice from the lakes was cut in winter and kept in sawdust until the end of summer.",
    "Storks return to the same nest and add some sticks to it each spring.",
    "The strings of a harp are coloured so that the player finds the right ones at a glance.",
    "Pearl divers tied a stone to one foot to reach the bottom quickly.",
    "Tea leaves for green tea are heated soon after the picking, to stop them from turning dark.",
    "Bridges of stone were built over a wooden frame that was taken away at the end.",
    "Foxes hunt mice under the snow by the sound alone.",
    "Cider apples are too bitter to eat, and that is what makes them useful.",
    "A kite needs a tail only when its shape cannot keep it steady.",
    "Ferns carry their spores on the underside of the leaf in small brown heaps.",
    "Coopers bend the staves of a barrel over a fire of shavings.",
    "Night trains were washed on the way, by brushes that stood beside the track.",
    "Moss on a roof holds the rain like a sponge and then gives it back.",
    "Weather ships lay at fixed places on the ocean and sent reports by radio.",
    "Fishing nets were tanned with bark, so that the salt water would not rot them.",
    "Hazel rods that were cut in winter make the best baskets.",
    "The lamp of a cinema was once an arc of burning carbon.",
    "Geese fly in a wedge, and take turns at the tiring place in front.",
    "Gold leaf is so thin that it is picked up with a brush and never with the fingers.",
    "Quarrymen drove dry wooden wedges into the rock and wetted them to split it.",
    "Potatoes keep well in the dark but turn green and bitter in the light.",
    "The rails of a mountain railway have teeth between them for the engine to climb on.",
    "Dew ponds on chalk hills fill with rain and mist, and hardly ever run dry.",
    "Puppets on strings are carved a little heavier in the feet than in the head.",
    "Seaweed was spread over the fields of the island to make soil out of sand.",
    "A good broom of birch twigs is bound while the twigs are still green.",
    "Bats find their way in full darkness by the echo of their own calls.",
    "Bookbinders round the back of a book with a hammer before they cover it.",
    "Windmills with a turning cap face the wind without any help from the miller.",
    "Watermarks are made by a wire that is sewn onto the mould of the paper.",
    "Alpine huts weigh down their roofs with stones against the storms of spring.",
    "Truffles are found with dogs today, because pigs liked to eat them.",
    "Signal flags are read in the order in which they hang from top to bottom.",
    "Skaters on natural ice listen to it, for thin ice sings at a higher note.",
    "Mosaics were laid face down on paper and turned over into the wet plaster.",
    "Rice terraces are flooded so that weeds drown while the rice does not.",
    "Horseshoes were made in the forge through the winter and hung up by size.",
    "Desert beetles stand on their heads at dawn to drink the fog that runs down their backs.",
    "Trams carry sand in a box and drop it on the rails when the leaves are wet.",
    "Oysters were once the food of the poor in every port of the coast.",
    "Candle makers dipped the wicks again and again, waiting each time until the wax was firm.",
    "Roman roads had a ditch on each side to keep the frost out of the stones.",
    "Woodpeckers store acorns in holes that they have made to the size of each.",
    "The cables of a suspension bridge are spun in place, wire by wire.",
    "Maple sap is thin and hardly sweet before it has boiled for many hours.",
    "Shepherds counted their sheep in old words that were used for nothing else.",
]  # fmt: skip


def make(count: int, rng: random.Random) -> list[dict]:
    """Items of this task; see `kvbook.tasks.embedded.items.build`."""
    rows = []
    for number in range(count):
        unique = rng.randint(*UNIQUE)
        sentences = rng.sample(SENTENCES, unique)
        sentences += rng.sample(sentences, rng.randint(*REPEATED))
        rng.shuffle(sentences)
        lines = [f"Paragraph {i}: {sentence}" for i, sentence in enumerate(sentences, 1)]
        lines.insert(rng.randrange(len(lines) + 1), NOTE.format(unique))
        rows.append(
            row("passage_count", number, "\n\n".join(lines), [str(unique)], opening=OPENING)
        )
    return rows
