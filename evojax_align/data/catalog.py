"""The sets that are known by name: their classes, and their names in tensorflow-datasets."""

from dataclasses import dataclass

LETTERS = "abcdefghijklmnopqrstuvwxyz"
_TEN = tuple("0123456789")
_FASHION = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")
_KANA = ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo")
_CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
_CIFAR100 = tuple(
    "apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly camel can "
    "castle caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur dolphin "
    "elephant flatfish forest fox girl hamster house kangaroo keyboard lamp lawn_mower leopard lion lizard lobster "
    "man maple_tree motorcycle mountain mouse mushroom oak_tree orange orchid otter palm_tree pear pickup_truck "
    "pine_tree plain plate poppy porcupine possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk "
    "skyscraper snail snake spider squirrel streetcar sunflower sweet_pepper table tank telephone television tiger "
    "tractor train trout tulip turtle wardrobe whale willow_tree wolf woman worm".split()
)


@dataclass(frozen=True)
class Entry:
    """A known set.

    Attributes:
        class_names: one name for each label.
        tfds: its name in tensorflow-datasets; None for sets that need no download. The files of the others are in
            `origins`.
    """

    class_names: tuple[str, ...]
    tfds: str | None = None


KNOWN = {
    "digits": Entry(_TEN),
    "glyphs": Entry(tuple(LETTERS[:20])),
    "glyphs_10letters": Entry(tuple(LETTERS[:10])),
    "glyphs_another10": Entry(tuple(LETTERS[10:20])),
    "mnist": Entry(_TEN, "mnist"),
    "fashion_mnist": Entry(_FASHION, "fashion_mnist"),
    "kmnist": Entry(_KANA, "kmnist"),
    "emnist_letters": Entry(tuple(LETTERS), "emnist/letters"),
    "emnist_10letters": Entry(tuple(LETTERS[:10]), "emnist/letters"),
    "emnist_another10": Entry(tuple(LETTERS[10:20]), "emnist/letters"),
    "cifar10": Entry(_CIFAR10, "cifar10"),
    "cifar100": Entry(_CIFAR100, "cifar100"),
}
