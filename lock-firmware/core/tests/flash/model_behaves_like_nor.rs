//! The model against what the data sheet says: a model that forgives would let every other test here pass.

use std::cell::RefCell;
use std::sync::{Arc, Mutex};

use drawbridge_lock::flash::model::{Nor, Tear};
use drawbridge_lock::flash::{Flash, FlashError, Region};

type Device = Nor<512>;

#[test]
fn bits_rise_only_by_an_erase() {
    let mut nor = Device::new(2);
    nor.write(4, &[0xF0; 4]).unwrap();
    assert_eq!(nor.write(4, &[0x0F; 4]), Err(FlashError::NotErased));
    nor.write(4, &[0x30; 4]).unwrap();
    assert_eq!(nor.worst_writes_per_word(), 2);
    assert_eq!(nor.write(2, &[0; 4]), Err(FlashError::Unaligned));
    assert_eq!(nor.write(0, &[0; 3]), Err(FlashError::Unaligned));
    assert_eq!(nor.write(1_024, &[0; 4]), Err(FlashError::OutOfBounds));
    assert_eq!(nor.erase(2), Err(FlashError::OutOfBounds));
    nor.erase(0).unwrap();
    assert!(nor.as_bytes().iter().all(|cell| *cell == 0xFF));
}

#[test]
fn cut_strikes_once_and_holds_until_restored() {
    for tear in Tear::ALL {
        let mut nor = Device::new(2);
        nor.cut_after(1, tear, 5);
        nor.write(0, &[0xAA; 8]).unwrap();
        assert_eq!(nor.write(8, &[0x55; 64]), Err(FlashError::PowerLost));
        assert_eq!(nor.read(0, &mut [0; 4]), Err(FlashError::PowerLost));
        assert_eq!(nor.erase(1), Err(FlashError::PowerLost));
        assert_eq!(
            nor.as_bytes()[..8],
            [0xAA; 8],
            "{tear:?} reached finished cells"
        );
        let torn = &nor.as_bytes()[8..72];
        assert!(
            torn.iter().all(|cell| cell & 0x55 == 0x55),
            "{tear:?} cleared bits of its own"
        );
        nor.restore();
        nor.write(80, &[0; 4]).unwrap();
    }
}

#[test]
fn tears_differ_and_repeat_with_their_seed() {
    let torn = |tear, seed| {
        let mut nor = Device::new(1);
        nor.cut_after(0, tear, seed);
        nor.write(0, &[0; 256]).unwrap_err();
        nor.as_bytes().to_vec()
    };
    assert!(torn(Tear::Before, 1).iter().all(|cell| *cell == 0xFF));
    for tear in [Tear::RandomTornBits, Tear::PartialErase] {
        assert_eq!(torn(tear, 9), torn(tear, 9));
        let distinct: std::collections::BTreeSet<_> =
            (0..64).map(|seed| torn(tear, seed)).collect();
        assert!(
            distinct.len() > 20,
            "{tear:?} has {} outcomes",
            distinct.len()
        );
    }
    let prefix = torn(Tear::PartialErase, 3);
    let zeros = prefix.iter().take_while(|cell| **cell == 0).count();
    assert!(zeros.is_multiple_of(4) && prefix[zeros..].iter().all(|cell| *cell == 0xFF));
}

/// Cells in half an erase may read as ones and not hold what is written over them.
#[test]
fn page_with_half_an_erase_takes_no_write() {
    for tear in [Tear::RandomTornBits, Tear::PartialErase] {
        let mut nor = Device::new(2);
        nor.write(0, &[0; 64]).unwrap();
        nor.cut_after(0, tear, 8);
        nor.erase(0).unwrap_err();
        nor.restore();
        assert_eq!(nor.write(508, &[0; 4]), Err(FlashError::NotErased));
        nor.erase(0).unwrap();
        nor.write(508, &[0; 4]).unwrap();
    }
}

#[test]
fn regions_of_one_device_do_not_reach_each_other() {
    let device = RefCell::new(Device::new(4));
    let mut left = Region::new(&device, 0, 2).unwrap();
    let mut right = Region::new(&device, 2, 2).unwrap();
    assert!(Region::new(&device, 3, 2).is_err());
    assert!(Region::new(&device, u32::MAX, 2).is_err());
    left.write(0, &[1; 4]).unwrap();
    right.write(0, &[2; 4]).unwrap();
    assert_eq!(left.write(1_020, &[0; 8]), Err(FlashError::OutOfBounds));
    assert_eq!(left.read(1_024, &mut [0; 1]), Err(FlashError::OutOfBounds));
    assert_eq!(
        left.read(u32::MAX, &mut [0; 8]),
        Err(FlashError::OutOfBounds)
    );
    assert_eq!(left.erase(2), Err(FlashError::OutOfBounds));
    right.erase(0).unwrap();
    let mut word = [0; 4];
    left.read(0, &mut word).unwrap();
    assert_eq!(word, [1; 4]);
}

/// What the simulated lock writes through to its file is what the cells hold, torn operations included.
#[test]
fn observer_sees_every_change() {
    let mut nor = Device::new(2);
    let file = Arc::new(Mutex::new(nor.as_bytes().to_vec()));
    let copy = Arc::clone(&file);
    nor.on_change(move |at, bytes| {
        let at = at as usize;
        copy.lock().unwrap()[at..at + bytes.len()].copy_from_slice(bytes);
    });
    nor.write(8, &[3; 16]).unwrap();
    nor.erase(1).unwrap();
    nor.cut_after(0, Tear::RandomTornBits, 4);
    nor.erase(0).unwrap_err();
    assert_eq!(*file.lock().unwrap(), nor.as_bytes());
    assert_eq!(
        Device::from_bytes(&file.lock().unwrap()).as_bytes(),
        nor.as_bytes()
    );
}
