"""Pictures that keep every pixel where the format allows it."""

from matplotlib.backend_bases import RendererBase
from matplotlib.image import AxesImage


class ExactImage(AxesImage):
    """A picture whose pixels PDF, SVG and EPS hold as they are.

    A PNG, TIFF or screen with fewer pixels gets their averages: they would be dropped otherwise.
    """

    def can_composite(self) -> bool:
        """Never: pictures side by side would be resampled into one."""
        return False

    def draw(self, renderer: RendererBase) -> None:
        """Draw by what the renderer can do."""
        exact = renderer.option_scale_image()
        self.set_interpolation("none" if exact else "antialiased")
        super().draw(renderer)
