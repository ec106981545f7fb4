//! Pictures: how large an image is, and a small one to show in its place (`docs/contract.md`, "Files" and "Avatars").
//!
//! Decoding is costly, and the bytes are a stranger's. So few images are decoded at once, none on an async thread, and
//! none that would take more memory or time than a large photo. What cannot be decoded is a file like any other.

use std::io::Cursor;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use image::codecs::jpeg::JpegEncoder;
use image::codecs::png::PngEncoder;
use image::imageops::FilterType;
use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::base::file_type::FileType;
use crate::{Error, Result};

/// The most pixels of an image that is decoded: a photo of 50 megapixels.
const MOST_PIXELS: u64 = 50_000_000;
/// Its longest side. No JPEG or GIF can have a longer one.
const LONGEST_SIDE: u32 = 65_535;
/// The most bytes that its pixels and a decoder's buffers may have.
const MOST_BYTES: u64 = 256 * 1024 * 1024;
/// How many images are decoded at once. Each takes a processor.
const MOST_AT_ONCE: usize = 2;
/// How long an image waits for its turn.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// The longest side of a thumbnail.
const THUMBNAIL: u32 = 480;
/// The side of an avatar.
const AVATAR: u32 = 256;
/// The quality of the JPEGs that are made, of 100.
const QUALITY: u8 = 80;

/// What an image looks like. Other files have none of it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Looks {
    /// The size in pixels, as the image is shown.
    pub(crate) size: Option<(u32, u32)>,
    /// The type of its thumbnail, if it has one.
    pub(crate) thumbnail: Option<FileType>,
}

/// An image that was made of another one.
#[derive(Debug)]
pub(crate) struct Small {
    /// JPEG, or PNG where a part is transparent.
    pub(crate) file_type: FileType,
    pub(crate) bytes: Bytes,
}

/// Decodes images. Clones share the places for those that are decoded at once.
#[derive(Clone, Debug)]
pub struct Pictures(Arc<Semaphore>);

impl Default for Pictures {
    fn default() -> Self {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        Self(Arc::new(Semaphore::new((processors / 2).clamp(1, MOST_AT_ONCE))))
    }
}

impl Pictures {
    /// Waits for the turn of an image. It comes before the image is read into memory, so that not many are there.
    ///
    /// # Errors
    /// [`Error::Overloaded`] when it has to wait for too long.
    pub(crate) async fn turn(&self) -> Result<Turn> {
        self.turn_within(LONGEST_WAIT).await
    }

    async fn turn_within(&self, wait: Duration) -> Result<Turn> {
        let late = |_| Error::Overloaded { retry_after: LONGEST_WAIT.as_secs() };
        let permit = tokio::time::timeout(wait, self.0.clone().acquire_owned()).await;
        permit.map_err(late)?.map(Turn).map_err(Error::internal)
    }
}

/// The turn of one image.
#[derive(Debug)]
pub(crate) struct Turn(#[expect(dead_code, reason = "it is held")] OwnedSemaphorePermit);

impl Turn {
    /// Returns the size of an image, and its thumbnail. Either is `None` if it cannot be determined.
    pub(crate) async fn look(self, bytes: Bytes, file_type: FileType) -> (Option<(u32, u32)>, Option<Small>) {
        let look = move || {
            let opened = Opened::new(&bytes, file_type)?;
            Some((Some(opened.size()), opened.thumbnail()))
        };
        self.compute(look).await.unwrap_or_default()
    }

    /// Returns the middle of an image as a square of 256 pixels, or `None` if the image cannot be decoded.
    pub(crate) async fn avatar(self, bytes: Bytes, file_type: FileType) -> Option<Small> {
        self.compute(move || Opened::new(&bytes, file_type)?.avatar()).await
    }

    async fn compute<T: Send + 'static>(
        self,
        work: impl FnOnce() -> Option<T> + Send + 'static,
    ) -> Option<T> {
        let done = tokio::task::spawn_blocking(move || {
            // Held here, for the work goes on when nobody waits for it any more.
            let _turn = self;
            work()
        });
        // A decoder that panics has met a broken image.
        done.await.unwrap_or_else(|error| {
            tracing::warn!(%error, "an image could not be decoded");
            None
        })
    }
}

/// An image of which only the beginning has been read.
struct Opened<'a> {
    decoder: Box<dyn ImageDecoder + 'a>,
    orientation: Orientation,
    is_bomb: bool,
}

impl<'a> Opened<'a> {
    fn new(bytes: &'a [u8], file_type: FileType) -> Option<Self> {
        let format = match file_type {
            FileType::Jpeg => ImageFormat::Jpeg,
            FileType::Png => ImageFormat::Png,
            FileType::Webp => ImageFormat::WebP,
            FileType::Gif => ImageFormat::Gif,
            _ => return None,
        };
        let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
        let mut limits = Limits::no_limits();
        limits.max_alloc = Some(MOST_BYTES);
        reader.limits(limits);
        let mut decoder = reader.into_decoder().ok()?;
        let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
        let (width, height) = decoder.dimensions();
        if width == 0 || height == 0 {
            return None;
        }
        let is_bomb = width.max(height) > LONGEST_SIDE
            || u64::from(width) * u64::from(height) > MOST_PIXELS
            || decoder.total_bytes() > MOST_BYTES
            || (file_type == FileType::Webp && has_large_frame(bytes));
        Some(Self { decoder: Box::new(decoder), orientation, is_bomb })
    }

    /// The size as the image is shown.
    fn size(&self) -> (u32, u32) {
        let (width, height) = self.decoder.dimensions();
        match self.orientation {
            Orientation::Rotate90
            | Orientation::Rotate270
            | Orientation::Rotate90FlipH
            | Orientation::Rotate270FlipH => (height, width),
            _ => (width, height),
        }
    }

    fn decoded(self) -> Option<(DynamicImage, Orientation)> {
        if self.is_bomb {
            return None;
        }
        DynamicImage::from_decoder(self.decoder).ok().map(|image| (image, self.orientation))
    }

    fn thumbnail(self) -> Option<Small> {
        let (image, orientation) = self.decoded()?;
        let small = match image.width().max(image.height()) > THUMBNAIL {
            true => image.thumbnail(THUMBNAIL, THUMBNAIL),
            false => image,
        };
        encoded(small, orientation)
    }

    fn avatar(self) -> Option<Small> {
        let (image, orientation) = self.decoded()?;
        let side = image.width().min(image.height());
        let (left, top) = ((image.width() - side) / 2, (image.height() - side) / 2);
        let square = image.crop_imm(left, top, side, side);
        drop(image);
        let small = match side > AVATAR {
            true => square.thumbnail_exact(AVATAR, AVATAR),
            false => square.resize_exact(AVATAR, AVATAR, FilterType::Triangle),
        };
        encoded(small, orientation)
    }
}

/// Whether a WebP image has a frame of more pixels than it says itself: its decoder looks at that too late. A frame's
/// chunk has its id, its length, a tag, a mark, and the frame's width and height (RFC 6386, section 9.1).
fn has_large_frame(bytes: &[u8]) -> bool {
    bytes.windows(18).filter(|chunk| chunk.starts_with(b"VP8 ") && chunk[11..14] == [0x9D, 0x01, 0x2A]).any(
        |chunk| {
            let side = |at: usize| u64::from(u16::from_le_bytes([chunk[at], chunk[at + 1]]) & 0x3FFF);
            side(14) * side(16) > MOST_PIXELS
        },
    )
}

/// Turns a small image as it is to be shown and encodes it, without anything else that its file had.
fn encoded(mut image: DynamicImage, orientation: Orientation) -> Option<Small> {
    image.apply_orientation(orientation);
    let image = image.into_rgba8();
    let mut bytes = Vec::new();
    let file_type = match image.pixels().all(|pixel| pixel.0[3] == u8::MAX) {
        true => {
            let image = DynamicImage::ImageRgba8(image).into_rgb8();
            JpegEncoder::new_with_quality(&mut bytes, QUALITY).encode_image(&image).ok()?;
            FileType::Jpeg
        }
        false => {
            image.write_with_encoder(PngEncoder::new(&mut bytes)).ok()?;
            FileType::Png
        }
    };
    Some(Small { file_type, bytes: bytes.into() })
}

#[cfg(test)]
mod tests {
    use image::{GenericImageView, Rgb, RgbImage, Rgba, RgbaImage};

    use super::*;

    /// An image whose left half is red and whose right half is blue.
    fn halves(width: u32, height: u32) -> RgbImage {
        RgbImage::from_fn(
            width,
            height,
            |x, _| if x < width / 2 { Rgb([255, 0, 0]) } else { Rgb([0, 0, 255]) },
        )
    }

    fn written(image: impl Into<DynamicImage>, format: ImageFormat) -> Vec<u8> {
        let mut bytes = Cursor::new(Vec::new());
        image.into().write_to(&mut bytes, format).unwrap();
        bytes.into_inner()
    }

    /// The JPEG with EXIF that says how it is to be turned (CIPA DC-008, "Orientation"), and where it was taken.
    fn turned(jpeg: &[u8], orientation: u8) -> Vec<u8> {
        let exif = [
            b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0",
            &[orientation][..],
            b"\0\0\0\0\0\0in the garden",
        ]
        .concat();
        let length = (exif.len() as u16 + 2).to_be_bytes();
        [&jpeg[..2], &[0xFF, 0xE1], &length, &exif, &jpeg[2..]].concat()
    }

    fn read(small: &Small) -> DynamicImage {
        image::load_from_memory(&small.bytes).unwrap()
    }

    fn open(bytes: &[u8], file_type: FileType) -> Opened<'_> {
        Opened::new(bytes, file_type).unwrap()
    }

    #[test]
    fn a_thumbnail_fits_into_480_pixels_and_is_never_larger_than_the_image() {
        for (width, height, expected) in
            [(1000, 500, (480, 240)), (300, 960, (150, 480)), (4000, 3, (480, 1)), (20, 10, (20, 10))]
        {
            let bytes = written(halves(width, height), ImageFormat::Png);
            let opened = open(&bytes, FileType::Png);
            assert_eq!(opened.size(), (width, height));
            let small = opened.thumbnail().unwrap();
            assert_eq!((small.file_type, read(&small).dimensions()), (FileType::Jpeg, expected));
        }
    }

    #[test]
    fn all_four_formats_are_decoded_and_transparency_is_kept() {
        for (format, file_type) in [
            (ImageFormat::Png, FileType::Png),
            (ImageFormat::WebP, FileType::Webp),
            (ImageFormat::Gif, FileType::Gif),
        ] {
            let image = RgbaImage::from_fn(600, 20, |x, _| Rgba([9, 9, 9, if x < 300 { 0 } else { 255 }]));
            let small = open(&written(image, format), file_type).thumbnail().unwrap();
            let image = read(&small);
            assert_eq!((small.file_type, image.dimensions()), (FileType::Png, (480, 16)), "{format:?}");
            assert_eq!((image.get_pixel(9, 9).0[3], image.get_pixel(470, 9).0[3]), (0, 255), "{format:?}");
        }
        let jpeg = written(halves(600, 20), ImageFormat::Jpeg);
        assert_eq!(open(&jpeg, FileType::Jpeg).thumbnail().unwrap().file_type, FileType::Jpeg);
    }

    #[test]
    fn an_image_is_turned_as_its_exif_says_and_nothing_of_that_is_copied() {
        let jpeg = turned(&written(halves(800, 400), ImageFormat::Jpeg), 6);
        let opened = open(&jpeg, FileType::Jpeg);
        assert_eq!(opened.size(), (400, 800));
        let small = opened.thumbnail().unwrap();
        let image = read(&small);
        assert_eq!(image.dimensions(), (240, 480));
        let (top, bottom) = (image.get_pixel(120, 20).0, image.get_pixel(120, 460).0);
        assert!(top[0] > 200 && bottom[2] > 200, "{top:?} {bottom:?}");
        for text in [&b"Exif"[..], b"garden"] {
            assert!(jpeg.windows(text.len()).any(|window| window == text));
            assert!(!small.bytes.windows(text.len()).any(|window| window == text));
        }
    }

    #[test]
    fn an_avatar_is_the_middle_of_an_image_at_256_pixels() {
        for (width, height) in [(900, 300), (300, 900), (10, 30)] {
            let bytes = written(halves(width, height), ImageFormat::Png);
            let avatar = read(&open(&bytes, FileType::Png).avatar().unwrap());
            assert_eq!(avatar.dimensions(), (256, 256));
            let (left, right) = (avatar.get_pixel(5, 128).0, avatar.get_pixel(250, 128).0);
            assert!(left[0] > 200 && right[2] > 200, "{left:?} {right:?}");
        }
    }

    /// The header of a PNG, with its checksum, and no pixels.
    fn png_header(width: u32, height: u32) -> Vec<u8> {
        let mut png = written(halves(1, 1), ImageFormat::Png);
        png[16..20].copy_from_slice(&width.to_be_bytes());
        png[20..24].copy_from_slice(&height.to_be_bytes());
        let checksum = png[12..29].iter().fold(u32::MAX, |crc, &byte| {
            (0..8)
                .fold(crc ^ u32::from(byte), |crc, _| (crc >> 1) ^ if crc & 1 == 1 { 0xEDB8_8320 } else { 0 })
        });
        png[29..33].copy_from_slice(&(!checksum).to_be_bytes());
        png
    }

    #[test]
    fn a_bomb_has_its_size_and_no_thumbnail() {
        for (width, height) in [(50_000, 50_000), (10_000, 5001), (65_536, 1)] {
            let bytes = png_header(width, height);
            let opened = open(&bytes, FileType::Png);
            assert!(opened.is_bomb);
            assert_eq!(opened.size(), (width, height));
            assert!(opened.thumbnail().is_none());
        }
        assert!(!open(&png_header(10_000, 5000), FileType::Png).is_bomb);
        // A frame of 16,383 pixels by 16,383 in an image of one.
        let mut webp =
            b"RIFF\x2c\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0\0\0\0\0\0\0VP8 \x0a\0\0\0\x30\0\0\x9d\x01\x2a"
                .to_vec();
        webp.extend([0xFF, 0x3F, 0xFF, 0x3F]);
        assert!(open(&webp, FileType::Webp).is_bomb);
    }

    #[tokio::test]
    async fn a_broken_image_has_a_size_where_its_beginning_says_one_and_is_no_avatar() {
        let png = written(halves(40, 30), ImageFormat::Png);
        let broken = Bytes::copy_from_slice(&png[..60]);
        let pictures = Pictures::default();
        let (size, small) = pictures.turn().await.unwrap().look(broken.clone(), FileType::Png).await;
        assert!(size == Some((40, 30)) && small.is_none());
        assert!(pictures.turn().await.unwrap().avatar(broken, FileType::Png).await.is_none());
        let (size, small) = pictures.turn().await.unwrap().look(Bytes::new(), FileType::Jpeg).await;
        assert!(size.is_none() && small.is_none());
    }

    #[tokio::test]
    async fn an_image_whose_turn_does_not_come_is_refused() {
        let pictures = Pictures::default();
        let mut turns = Vec::new();
        while let Ok(permit) = pictures.0.clone().try_acquire_owned() {
            turns.push(permit);
        }
        let late = pictures.turn_within(Duration::from_millis(5)).await;
        assert!(matches!(late, Err(Error::Overloaded { retry_after: 5 })));
        turns.pop();
        assert!(pictures.turn().await.is_ok());
    }
}
