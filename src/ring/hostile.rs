//! A lane whose other end writes what it likes.

use std::sync::Arc;

use crate::prim::Ordering::Relaxed;
use crate::ring::consumer::{Consumer, Frame};
use crate::ring::layout::Lane;
use crate::ring::producer::Producer;
use crate::ring::resize;
use crate::ring::word::{Cursor, FrameHeader, POSITION_END};
use crate::ring::{Readers, Ring, WhenFull};
use crate::shm::segment::Segment;
use crate::shm::window::Window;

const CLASS: u8 = 6;
const CLASSES: std::ops::RangeInclusive<u8> = CLASS..=CLASS + 1;
const RING_BYTES: u64 = 1 << CLASS;

struct Spoilt {
    lane: Lane,
    area: Window,
}

impl Spoilt {
    /// A lane whose ring has these words, in turn.
    fn new(words: impl Iterator<Item = FrameHeader>) -> Self {
        let segment = Arc::new(Segment::create("test", 1 << 13).unwrap());
        let (lane, area) = (Lane::at(&segment, 0).unwrap(), Window::at(&segment, 1024, 4 << CLASS).unwrap());
        resize::found(&lane, CLASS, Readers::One, false);
        for (position, word) in (0..RING_BYTES).step_by(8).zip(words) {
            Ring::of(CLASS).word(&area, position).store(word.to_word(), Relaxed);
        }
        Self { lane, area }
    }

    fn consumer(&self) -> Consumer {
        Consumer::attach(self.lane.clone(), self.area.clone(), CLASSES, 0).unwrap()
    }

    /// The batch that begins with the first frame.
    fn batch(&self) -> Vec<Frame> {
        let mut consumer = self.consumer();
        let first = consumer.peek().unwrap().unwrap();
        let mut frames = Vec::new();
        consumer.peek_batch(first, usize::MAX, &mut frames);
        frames
    }
}

#[test]
fn a_batch_is_followed_round_the_ring_once() {
    let frames = std::iter::repeat(FrameHeader::Data { len: 0 });
    assert_eq!(Spoilt::new(frames).batch().len() as u64, RING_BYTES / 8);
    let frames_and_pads = [FrameHeader::Data { len: 0 }, FrameHeader::Pad].into_iter().cycle();
    assert_eq!(Spoilt::new(frames_and_pads).batch().len(), 1, "the pad leads back to the first frame");
}

#[test]
fn pads_and_moves_are_not_followed_in_circles() {
    assert!(Spoilt::new(std::iter::repeat(FrameHeader::Pad)).consumer().peek().is_err());
    let closed = std::iter::repeat(FrameHeader::Closed { class: CLASS });
    assert!(Spoilt::new(closed).consumer().peek().is_err());
}

#[test]
fn frames_before_a_word_that_is_none_are_received_and_then_it_is_told() {
    let spoilt = Spoilt::new([FrameHeader::Data { len: 0 }; 2].into_iter());
    Ring::of(CLASS).word(&spoilt.area, 16).store(77, Relaxed);
    assert_eq!(spoilt.batch().len(), 2);
    let mut consumer = spoilt.consumer();
    for _ in 0..2 {
        let frame = consumer.peek().unwrap().unwrap();
        consumer.release(frame);
    }
    let corrupt = consumer.peek().unwrap_err();
    assert_eq!((corrupt.position, corrupt.word), (16, 77));
}

#[test]
fn a_frame_past_the_rings_end_is_refused() {
    for len in [RING_BYTES as u32 - 7, u32::MAX] {
        let spoilt = Spoilt::new(std::iter::once(FrameHeader::Data { len }));
        assert!(spoilt.consumer().peek().is_err(), "{len}");
        assert!(
            Producer::attach(spoilt.lane.clone(), spoilt.area.clone(), CLASSES, (Readers::One, WhenFull::Wait))
                .is_err(),
            "{len}"
        );
    }
}

#[test]
fn a_successor_is_not_led_in_circles() {
    for word in [FrameHeader::Data { len: 0 }, FrameHeader::Pad, FrameHeader::Closed { class: CLASS }] {
        let spoilt = Spoilt::new(std::iter::repeat(word));
        assert!(
            Producer::attach(spoilt.lane.clone(), spoilt.area.clone(), CLASSES, (Readers::One, WhenFull::Wait))
                .is_err(),
            "{word:?}"
        );
    }
}

#[test]
fn a_cursor_outside_the_lane_is_refused() {
    for cursor in [Cursor { class: CLASS + 2, position: 0 }, Cursor { class: CLASS, position: 4 }] {
        let spoilt = Spoilt::new(std::iter::empty());
        spoilt.lane.consumer().cursor.store(cursor.to_word(), Relaxed);
        spoilt.lane.producing.cursor.store(cursor.to_word(), Relaxed);
        assert!(Consumer::attach(spoilt.lane.clone(), spoilt.area.clone(), CLASSES, 0).is_err(), "{cursor:?}");
        assert!(
            Producer::attach(spoilt.lane.clone(), spoilt.area.clone(), CLASSES, (Readers::One, WhenFull::Wait))
                .is_err(),
            "{cursor:?}"
        );
    }
}

#[test]
fn nothing_is_read_past_the_end_of_positions() {
    for header in [FrameHeader::Data { len: 0 }, FrameHeader::Loan { len: 1 }, FrameHeader::Pad] {
        let spoilt = Spoilt::new(std::iter::repeat(header));
        let last = Cursor { class: CLASS, position: POSITION_END - RING_BYTES };
        spoilt.lane.consumer().cursor.store(last.to_word(), Relaxed);
        let mut consumer = spoilt.consumer();
        let mut seen = 0;
        while let Ok(Some(frame)) = consumer.peek() {
            consumer.release(frame);
            seen += 1;
        }
        assert!(seen <= RING_BYTES / 8, "{header:?}");
        assert!(consumer.peek().is_err(), "{header:?}");
    }
}

#[test]
fn a_consumer_ahead_of_the_producer_gets_no_room_out_of_it() {
    let spoilt = Spoilt::new(std::iter::empty());
    let mut producer =
        Producer::attach(spoilt.lane.clone(), spoilt.area.clone(), CLASSES, (Readers::One, WhenFull::Wait)).unwrap();
    spoilt.lane.consumer().cursor.store(Cursor { class: CLASS, position: 1 << 40 }.to_word(), Relaxed);
    let mut room = 0;
    while let Ok(reservation) = producer.reserve(0, |_| {}) {
        producer.commit(reservation, 0);
        room += 1;
    }
    assert_eq!(room, RING_BYTES / 8 - 1);
}
