"""Thumbnails in a notebook with a button for each class; ipywidgets draws them, where it is."""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence


def label_buttons(
    pictures: Sequence[bytes],
    captions: Sequence[str],
    labels: Sequence[str],
    classes: Sequence[str],
    names: Sequence[str],
    on_label: Callable[[int, str], str],
):
    """A box for each JPEG with its caption and a button for each class; the chosen one is green.

    A click calls `on_label(number, label)`, with an empty label where the chosen class is clicked
    again; what it returns is shown on top. Raises `ImportError` where ipywidgets is not installed.
    """
    import ipywidgets as widgets

    said = widgets.HTML(html.escape(on_label(-1, "")))
    boxes = []
    for number, (picture, caption) in enumerate(zip(pictures, captions)):
        wide = widgets.Layout(width="auto")
        buttons = [widgets.Button(description=name, tooltip=name, layout=wide) for name in names]

        def show(label: str, buttons=buttons) -> None:
            for one, button in zip(classes, buttons):
                button.button_style = "success" if label and one == label else ""

        for label, button in zip(classes, buttons):

            def clicked(button, label=label, number=number, show=show) -> None:
                label = "" if button.button_style else label
                said.value = html.escape(on_label(number, label))
                show(label)

            button.on_click(clicked)
        show(labels[number])
        image = widgets.Image(value=picture, format="jpeg", width=240)
        text = widgets.HTML(html.escape(caption))
        column = widgets.Layout(width="250px", margin="0 8px 16px 0")
        boxes.append(widgets.VBox([image, text, *buttons], layout=column))
    wrapped = widgets.Layout(flex_flow="row wrap")
    return widgets.VBox([said, widgets.HBox(boxes, layout=wrapped)])
