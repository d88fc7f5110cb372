import base64
import io

from PIL import Image

from coursekit.show import course_map
from coursekit.show.figures import as_html


def test_html_carries_the_alt_text_and_the_picture():
    text = as_html(course_map(), 'the "map" <of> it')
    assert 'alt="the &quot;map&quot; &lt;of&gt; it"' in text
    data = base64.b64decode(text.split("base64,")[1].split('"')[0])
    assert Image.open(io.BytesIO(data)).size[0] > 500
