"""What a person can do about an answer that is not sure; the phone page says it in `words.js`."""

NOT_SURE = {
    "en": "go nearer, one leaf, in daylight",
    "vi": "chụp gần hơn, một lá, lúc trời sáng",
}


def not_sure_advice(language: str) -> str:
    """What makes the next photo a better one, as the end of a sentence: "not sure: go nearer"."""
    return NOT_SURE.get(language, NOT_SURE["en"])
