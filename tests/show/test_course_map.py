from coursekit.show import course_map


def test_the_map_shows_all_parts():
    texts = " ".join(text.get_text() for text in course_map().axes[0].texts)
    assert all(f"{lesson:02d} ·" in texts for lesson in range(1, 10))


def test_the_map_says_whose_each_part_is():
    texts = [text.get_text() for text in course_map({2: (3, 3), 3: (1, 2)}, here=3).axes[0].texts]
    assert texts.count("yours") == 1
    assert texts.count("1 of 2 yours") == 1
    assert texts.count("reference") == 7
    assert texts.count("you are here ▾") == 1
