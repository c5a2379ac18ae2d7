"""Layers as work lists: what published tables of ImageNet networks give, without weights.

A builder follows a tensor of `side` x `side` x `channels` and appends the work of each layer, as
the operators of a graph count it. `bits` is up to 16 for quantized networks and 32 for float32.
"""

from dataclasses import dataclass, field

from simulator.work import Work


@dataclass
class Layers:
    """A network being built: its works so far and the shape of its current tensor."""

    side: int
    channels: int = 3
    bits: int = 8
    works: list[Work] = field(default_factory=list)

    def copy(self) -> "Layers":
        """A branch from the current tensor; its works go to the same list."""
        return Layers(self.side, self.channels, self.bits, self.works)

    @property
    def elements(self) -> int:
        """Elements of the current tensor."""
        return self.side * self.side * self.channels

    def _add(
        self, outputs: int, requantizations: int, products: int = 0, sums: int = 0, **counts: int
    ) -> None:
        """Append a work; `products` and `sums` are its scalar arithmetic, real in float32."""
        real = self.bits > 16
        self.works.append(
            Work(
                real_products=int(real and "ky" in counts),
                real_multiplications=products * real,
                real_additions=sums * real,
                elementwise=counts.pop("elementwise", 0) + products + sums,
                weight_bits=self.bits,
                activation_bits=self.bits,
                output_bits=self.bits,
                output_elements=outputs,
                requantizations=requantizations if self.bits <= 16 else 0,
                **counts,
            )
        )

    def conv(
        self,
        oc: int,
        kernel: int | tuple[int, int] = 1,
        stride: int = 1,
        valid: bool = False,
        depthwise: bool = False,
    ) -> "Layers":
        """A convolution with bias, its activation fused; SAME padding unless `valid`."""
        ky, kx = (kernel, kernel) if isinstance(kernel, int) else kernel
        side = (self.side - max(ky, kx)) // stride + 1 if valid else -(-self.side // stride)
        outputs = side * side * oc
        groups, ic = (oc, 1) if depthwise else (1, self.channels)
        self._add(
            outputs,
            outputs,
            oy=side,
            ox=side,
            oc=1 if depthwise else oc,
            ky=ky,
            kx=kx,
            ic=ic,
            groups=groups,
            stride_y=stride,
            stride_x=stride,
            input_elements=self.elements,
            weight_elements=ky * kx * ic * oc,
            bias_elements=oc,
            depthwise=int(depthwise),
        )
        self.side, self.channels = side, oc
        return self

    def depthwise(self, stride: int = 1) -> "Layers":
        """A depthwise convolution of 3 x 3 taps."""
        return self.conv(self.channels, 3, stride, depthwise=True)

    def pool(self, kernel: int, stride: int, valid: bool = False) -> "Layers":
        """Average or maximum of windows; requantized as an average."""
        side = (self.side - kernel) // stride + 1 if valid else -(-self.side // stride)
        outputs = side * side * self.channels
        taps = outputs * kernel * kernel
        self._add(outputs, outputs, input_elements=self.elements, sums=taps)
        self.side = side
        return self

    def add(self) -> "Layers":
        """The sum of two tensors of the current shape, each brought to one grid."""
        n = self.elements
        self._add(n, 3 * n, input_elements=2 * n, sums=n)
        return self

    def scale_and_shift(self) -> "Layers":
        """A batch normalization that no convolution takes: a product, then a sum, by channel."""
        n, c = self.elements, self.channels
        self._add(n, n, input_elements=n + c, products=n)
        self._add(n, 3 * n, input_elements=n + c, sums=n)
        return self

    def concatenate(self, channels: int) -> "Layers":
        """Branches joined to so many channels: a copy."""
        self.channels = channels
        self._add(self.elements, 0, input_elements=self.elements, elementwise=self.elements)
        return self

    def classify(self, classes: int) -> list[Work]:
        """A global average, a fully connected layer and a softmax; returns the network's works."""
        self.pool(self.side, self.side, valid=True)
        self.conv(classes)
        half = 30 * classes
        self._add(classes, classes, input_elements=classes, products=half, sums=half)
        return self.works
