"""Compare the codec with JPEG, WebP, AVIF and JPEG XL on a folder of pictures: figures, tables and plots."""
