"""What is said of an answer that is not sure, and what a person can do about it.

The phone page says it in `words.js`.
"""

DOUBTS = {
    "en": {
        "not sure": "not sure",
        "unlike": "unlike the training photos",
        "no leaf": "perhaps no leaf at all",
    },
    "vi": {
        "not sure": "chưa chắc",
        "unlike": "khác ảnh huấn luyện",
        "no leaf": "có lẽ không phải lá cây",
    },
}
NOT_SURE = {
    "en": "go nearer, one leaf, in daylight",
    "vi": "chụp gần hơn, một lá, lúc trời sáng",
}
UNLIKE = {
    "en": "{unlike:,} of {photos:,} photos are unlike the training photos",
    "vi": "{unlike:,} trong {photos:,} ảnh khác ảnh huấn luyện",
}
LABEL_SOME = {
    "en": "label ten of each disease (lite0ca label {run} FOLDER says which) and run lite0ca adapt",
    "vi": "hãy gán nhãn mười ảnh cho mỗi bệnh (lite0ca label {run} FOLDER chọn giúp) rồi chạy "
    "lite0ca adapt",
}
NEVER_SURE = {
    "en": "too few labelled photos say how often this model is right",
    "vi": "có quá ít ảnh đã gán nhãn để biết mô hình này đúng bao nhiêu phần trăm",
}
SEVERAL = 10  # photos: fewer say little about a place


def not_sure_advice(language: str) -> str:
    """What makes the next photo a better one, as the end of a sentence: "not sure: go nearer"."""
    return NOT_SURE.get(language, NOT_SURE["en"])


def never_sure(language: str) -> str:
    """Why a model without a limit is sure of nothing, as the end of a sentence."""
    return NEVER_SURE.get(language, NEVER_SURE["en"])


def unlike_advice(language: str, unlike: int, no_leaf: int, photos: int, run: str) -> str:
    """How many of `photos` are unlike the training photos, `no_leaf` of them perhaps no leaf.

    Where more than half are leaves of another place, it says what helps there: a few labels.
    """
    counted = UNLIKE[language].format(unlike=unlike, photos=photos)
    if photos < SEVERAL or 2 * (unlike - no_leaf) <= photos:
        return counted
    return f"{counted}: {LABEL_SOME[language].format(run=run)}"
