"""From records to blocks: decoding, types, rejections."""
