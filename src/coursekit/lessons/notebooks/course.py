"""The eleven lessons: their titles, and the minutes that each takes, reading included."""

TITLES = {
    0: "Start here", 1: "The data loader", 2: "The backbone", 3: "The FPN", 4: "Anchors", 5: "The RPN",
    6: "RoI features", 7: "The detector", 8: "Training", 9: "Evaluation", 10: "Your detector",
}  # fmt: skip
MINUTES = {0: 60, 1: 120, 2: 80, 3: 80, 4: 115, 5: 110, 6: 85, 7: 130, 8: 135, 9: 130, 10: 240}
AI_LADDER = {  # what an assistant may do in a lesson
    **dict.fromkeys((0, 1), "by hand, without an assistant"),
    **dict.fromkeys(range(2, 6), "an assistant may explain; you write"),
    **dict.fromkeys(range(6, 9), "an assistant may write; you write the test"),
    **dict.fromkeys((9, 10), "as you like, with the journal kept"),
}
