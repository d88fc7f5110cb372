from coursekit.show.score_bars import score_bars_picture


def test_a_bar_for_each_number_and_its_value_beside_it():
    scores = {"no fault": {"AP50": 1.0, "AP": 0.99}, "labels from 0": {"AP50": -1.0, "AP": 0.0}}
    fig, alt = score_bars_picture(scores, title="one fault")
    axes = fig.axes[0]
    assert [bar.get_width() for bar in axes.patches] == [1.0, 0, 0.99, 0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["no fault", "labels from 0"]
    assert {text.get_text() for text in axes.texts} == {"1.00", "0.99", "0.00"}
    assert "no fault: AP50 1.00, AP 0.99; labels from 0: AP50 -1.00, AP 0.00" in alt
    assert axes.get_title() == "one fault"
