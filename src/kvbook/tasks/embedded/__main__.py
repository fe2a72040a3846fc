"""Write the files of the embedded tasks: ``python -m kvbook.tasks.embedded``."""

from kvbook.files import write_whole
from kvbook.places import place
from kvbook.tasks.embedded import FOLDER
from kvbook.tasks.embedded.items import build, lines

if __name__ == "__main__":
    for task, rows in build().items():
        write_whole(place("data") / FOLDER / f"{task}.jsonl", lines(rows))
