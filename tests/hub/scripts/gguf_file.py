"""Where everything lies in a GGUF file: enough to damage a copy on purpose."""
import mmap
import struct

SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
# type: (values in a block, bytes of a block)
BLOCKS = {0: (1, 4), 1: (1, 2), 2: (32, 18), 6: (32, 22), 8: (32, 34), 12: (256, 144), 14: (256, 210), 30: (1, 2)}


class Gguf:
    """A file opened for changes. keys: {name: (type, offset of the value)}, arrays of texts:
    {name: [(offset, length)]}, tensors: {name: (shape, type, offset, bytes)}."""

    def __init__(self, path):
        self.file = open(path, "r+b")
        self.data = mmap.mmap(self.file.fileno(), 0)
        self.at = 4
        self.keys, self.texts, self.arrays, self.tensors = {}, {}, {}, {}
        self.number("<I")
        n_tensors, n_keys = self.number("<Q"), self.number("<Q")
        alignment = 32
        for _ in range(n_keys):
            name = self.text()
            self.read_value(name)
            if name == "general.alignment":
                alignment = struct.unpack_from("<I", self.data, self.keys[name][1])[0]
        infos = []
        for _ in range(n_tensors):
            name = self.text()
            shape = [self.number("<Q") for _ in range(self.number("<I"))]
            infos.append((name, shape, self.number("<I"), self.number("<Q")))
        start = (self.at + alignment - 1) // alignment * alignment
        for name, shape, kind, offset in infos:
            values = 1
            for n in shape:
                values *= n
            per_block, block = BLOCKS[kind]
            self.tensors[name] = (shape, kind, start + offset, values // per_block * block)

    def number(self, form):
        value = struct.unpack_from(form, self.data, self.at)[0]
        self.at += struct.calcsize(form)
        return value

    def text(self):
        n = self.number("<Q")
        self.at += n
        return self.data[self.at - n:self.at].decode("utf-8", "replace")

    def read_value(self, name):
        kind = self.number("<I")
        self.keys[name] = (kind, self.at)
        if kind == 8:
            self.text()
        elif kind == 9:
            inner, n = self.number("<I"), self.number("<Q")
            if inner == 8:
                places = []
                for _ in range(n):
                    length = self.number("<Q")
                    places.append((self.at, length))
                    self.at += length
                self.texts[name] = places
            else:
                self.arrays[name] = (inner, self.at, n)
                self.at += n * SIZES[inner]
        else:
            self.at += SIZES[kind]

    def bytes_of(self, name):
        _, _, offset, size = self.tensors[name]
        return self.data[offset:offset + size]

    def put(self, name, data):
        _, _, offset, size = self.tensors[name]
        assert len(data) == size
        self.data[offset:offset + size] = data

    def floats(self, name):
        assert self.tensors[name][1] == 0
        data = self.bytes_of(name)
        return list(struct.unpack(f"<{len(data) // 4}f", data))

    def put_floats(self, name, values):
        self.put(name, struct.pack(f"<{len(values)}f", *values))

    def close(self):
        self.data.flush()
        self.data.close()
        self.file.close()
