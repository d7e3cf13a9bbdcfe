// JPEG by libjpeg-turbo (or another libjpeg; the standard integer IDCT and fancy upsampling are those of OpenCV).
#include <cstddef>
#include <cstdio>
// jpeglib.h needs the two above.
#include <jpeglib.h>

#include <csetjmp>
#include <string>

#include "error.h"
#include "image.h"

namespace crnn {
namespace {

struct Decoder {
  jpeg_decompress_struct info{};
  jpeg_error_mgr errors{};
  jpeg_source_mgr source{};
  jmp_buf escape{};
  char message[JMSG_LENGTH_MAX] = "";
  bool created = false;
  std::unique_ptr<uint8_t[]> row;

  ~Decoder() {
    if (created) {
      jpeg_destroy_decompress(&info);
    }
  }
};

void OnError(j_common_ptr info) {
  auto *decoder = static_cast<Decoder *>(info->client_data);
  (*info->err->format_message)(info, decoder->message);
  std::longjmp(decoder->escape, 1);
}

// Broken data inside a complete file: OpenCV shows what can be decoded, without a word on standard error.
void OnMessage(j_common_ptr, int) {}

void Nothing(j_decompress_ptr) {}

// The whole file is in memory: wanting more means that it is truncated, and makes the library give up.
boolean NoMore(j_decompress_ptr) { return FALSE; }

void Skip(j_decompress_ptr info, long count) {
  jpeg_source_mgr *source = info->src;
  const size_t step = count < 0 ? 0 : static_cast<size_t>(count);
  const size_t taken = step < source->bytes_in_buffer ? step : source->bytes_in_buffer;
  source->next_input_byte += taken;
  source->bytes_in_buffer -= taken;
}

bool ReadHeader(Decoder *decoder, const std::vector<uint8_t> &data) {
  jpeg_decompress_struct *info = &decoder->info;
  info->err = jpeg_std_error(&decoder->errors);
  decoder->errors.error_exit = OnError;
  decoder->errors.emit_message = OnMessage;
  info->client_data = decoder;
  if (setjmp(decoder->escape) != 0) {
    return false;
  }
  jpeg_create_decompress(info);
  decoder->created = true;
  info->client_data = decoder;  // creating clears it in some versions
  jpeg_source_mgr *source = &decoder->source;
  source->init_source = Nothing;
  source->fill_input_buffer = NoMore;
  source->skip_input_data = Skip;
  source->resync_to_restart = jpeg_resync_to_restart;
  source->term_source = Nothing;
  source->next_input_byte = data.data();
  source->bytes_in_buffer = data.size();
  info->src = source;
  if (jpeg_read_header(info, TRUE) != JPEG_HEADER_OK) {
    return false;
  }
  info->out_color_space = info->num_components == 4 ? JCS_CMYK : JCS_RGB;
  info->dct_method = JDCT_ISLOW;
  jpeg_calc_output_dimensions(info);
  return true;
}

bool ReadPixels(Decoder *decoder, Image *image) {
  jpeg_decompress_struct *info = &decoder->info;
  if (setjmp(decoder->escape) != 0) {
    return false;
  }
  if (!jpeg_start_decompress(info)) {
    return false;
  }
  for (int y = 0; y < image->height; ++y) {
    JSAMPROW line = decoder->row.get();
    if (jpeg_read_scanlines(info, &line, 1) != 1) {
      return false;
    }
    uint8_t *target = image->Row(y);
    if (info->output_components == 3) {
      for (int x = 0; x < image->width; ++x, line += 3, target += 3) {
        target[0] = line[2];
        target[1] = line[1];
        target[2] = line[0];
      }
    } else {  // cyan, magenta, yellow, black, all inverted as Adobe writes them
      for (int x = 0; x < image->width; ++x, line += 4, target += 3) {
        const int black = line[3];
        for (int channel = 0; channel < 3; ++channel) {
          target[2 - channel] = static_cast<uint8_t>(black - ((255 - line[channel]) * black >> 8));
        }
      }
    }
  }
  return true;  // without jpeg_finish_decompress: what lies behind the pixels does not matter
}

}  // namespace

Image DecodeJpeg(const std::vector<uint8_t> &data) {
  Decoder decoder;
  Image image;
  const auto fail = [&decoder]() {
    const bool told = decoder.message[0] != '\0';
    throw Error("a broken or truncated JPEG: " + std::string(told ? decoder.message : "the file ends too early"));
  };
  if (!ReadHeader(&decoder, data)) {
    fail();
  }
  image.Allocate(decoder.info.output_width, decoder.info.output_height);
  decoder.row = std::make_unique<uint8_t[]>(static_cast<size_t>(image.width) * 4);
  if (!ReadPixels(&decoder, &image)) {
    fail();
  }
  return image;
}

}  // namespace crnn
