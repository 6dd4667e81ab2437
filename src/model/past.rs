//! The last values of a series, in one piece.

/// Values compared side by side.
const LANES: usize = 8;

/// The last `N` values that were pushed; zeros before there were as many.
#[derive(Debug, Clone)]
pub(super) struct Past<const N: usize> {
    /// Every value twice, `N` apart: the last ones always lie side by side.
    values: [[f64; N]; 2],
    next: usize,
}

impl<const N: usize> Default for Past<N> {
    fn default() -> Self {
        Self { values: [[0.0; N]; 2], next: 0 }
    }
}

impl<const N: usize> Past<N> {
    pub(super) fn push(&mut self, value: f64) {
        self.values[0][self.next] = value;
        self.values[1][self.next] = value;
        self.next = (self.next + 1) % N;
    }

    /// The last `count`, at most `N`, oldest first.
    pub(super) fn last(&self, count: usize) -> &[f64] {
        let end = self.next + N;
        &self.values.as_flattened()[end - count.min(N)..end]
    }

    /// The value before the last `age` ones; the oldest where that is not kept any more.
    pub(super) fn before(&self, age: usize) -> f64 {
        self.last(age + 1)[0]
    }
}

/// The largest of some numbers, none of them negative or no number; 0 of none.
pub(super) fn largest(values: &[f64]) -> f64 {
    let larger = |a: f64, b: f64| if a > b { a } else { b };
    let mut lanes = [0.0; LANES];
    let (groups, rest) = values.as_chunks::<LANES>();
    for group in groups {
        lanes = std::array::from_fn(|i| larger(lanes[i], group[i]));
    }
    lanes.iter().chain(rest).copied().fold(0.0, larger)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_values_are_found_wherever_the_next_one_goes() {
        let mut past = Past::<16>::default();
        let mut all = vec![0.0; 16];
        for i in 0..50 {
            past.push(f64::from(i * 7 % 31));
            all.push(f64::from(i * 7 % 31));
            for count in 1..=16 {
                let expected = &all[all.len() - count..];
                assert_eq!(past.last(count), expected);
                assert_eq!(past.before(count - 1), expected[0]);
                assert_eq!(largest(past.last(count)), expected.iter().copied().fold(0.0, f64::max));
            }
        }
    }
}
