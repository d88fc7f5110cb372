from coursekit.lessons.course import BADGE_MEANS, BADGES, LESSONS, badge_of

NAMES = [name for lesson in LESSONS.values() for name in lesson.exercises]


def test_badges_are_for_exercises():
    assert set(BADGES) <= set(NAMES)
    assert set(map(badge_of, NAMES)) == set(BADGE_MEANS)


def test_an_exercise_without_a_badge_of_its_own_is_explain_only():
    assert badge_of("nms") == "by hand"
    assert badge_of("collate") == "delegate"
    assert badge_of("propose") == "explain only"
