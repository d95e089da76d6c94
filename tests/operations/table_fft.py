"""The operation table of `jax.numpy.fft`."""

from .operation import Entries, Operation, Table, c64, f32, i32

op = Entries("jax.numpy.fft")

ENTRIES: list[Operation] = [
    *op.each("fft ifft", (f32(4),), (c64(3, 4),), (c64(2, 4), 3, 0)),
    *op.each("fft rfft", (f32(5),), (i32(4),)),
    *op.each("fft2 ifft2 fftn ifftn", (f32(2, 4),), (c64(3, 2, 2),)),
    *op.each("rfft ihfft", (f32(4),), (f32(2, 5), 4)),
    *op.each("irfft hfft", (c64(3),), (c64(2, 3), 5)),
    *op.each("rfft2 rfftn", (f32(2, 4),)),
    *op.each("irfft2 irfftn", (c64(2, 3),)),
    *op.each("fft ifft rfft", (f32(4),), norm="ortho"),
    *op.each("fftn", (f32(2, 3, 2),), axes=(0, 2)),
    *op.each("fftshift ifftshift", (f32(5),), (f32(2, 3), 1)),
    *op.each("fftfreq rfftfreq", (5,), (4, 0.5)),
]

MISSING: dict[str, str] = {}

TABLE = Table("jax.numpy.fft", ENTRIES, MISSING)
