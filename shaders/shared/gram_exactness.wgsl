// What `gram_largest` and `gram_pack` find out about a group.
struct Exactness {
    // Bits of the largest absolute value.
    largest: u32,
    // 0 if f16 holds all values of the group exactly, after a division by a power of two.
    inexact: u32,
}
