/* libjpeg-turbo behind six functions.
 *
 * Its interface is made of structures whose fields its own macros and headers know, and of errors that leave by
 * longjmp, which must not cross Rust. Both stay in this file; libjpeg.rs is its only caller.
 */

#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h>
#include <jerror.h>

#ifdef LCSL_FAST_HUFFMAN
#if LIBJPEG_TURBO_VERSION_NUMBER < 3000000 || LIBJPEG_TURBO_VERSION_NUMBER >= 4000000
#error "the beginning of struct jpeg_entropy_decoder was compared with libjpeg-turbo 3 only"
#endif

/* From jpegint.h, which is not installed: its first two fields. The library makes and owns the whole. */
struct jpeg_entropy_decoder {
    void (*start_pass)(j_decompress_ptr);
    boolean (*decode_mcu)(j_decompress_ptr, JBLOCKROW *);
};
#endif

enum { ROWS = 16, PIXEL = 4, COMPONENTS = 4 };

/* What the header says. */
struct lcsl_found {
    uint32_t width, height, components, precision;
    /* 1 where its colours are inks. */
    uint32_t is_print;
    /* Sampling factors: across and down, of each of the first components. */
    uint32_t across[COMPONENTS], down[COMPONENTS];
};

struct lcsl_region {
    uint32_t left, top, width, height;
    /* 1 where the region is the whole picture. */
    uint32_t is_whole;
    /* 1, 2, 4 or 8 pixels become one. */
    uint32_t reduction;
    /* 1 for the less exact transform, and colours without interpolation. */
    uint32_t is_fast;
};

/* A scan whose codes somebody else may read. */
struct lcsl_scan {
    const uint8_t *bytes;
    size_t length;
    uint32_t columns, units, interval, first_wanted, last_wanted;
    uint32_t blocks;
    uint8_t component[D_MAX_BLOCKS_IN_MCU], dc[D_MAX_BLOCKS_IN_MCU], ac[D_MAX_BLOCKS_IN_MCU];
    /* 17 counts, of which the first means nothing, and 256 symbols; null where the file has no such table. */
    const uint8_t *dc_counts[NUM_HUFF_TBLS], *dc_symbols[NUM_HUFF_TBLS];
    const uint8_t *ac_counts[NUM_HUFF_TBLS], *ac_symbols[NUM_HUFF_TBLS];
};

/* Who reads codes: both answer 0 where they do not. `blocks` may be null; it has room for the blocks of a unit. */
struct lcsl_reader {
    void *state;
    int (*begin)(void *state, const struct lcsl_scan *scan);
    int (*unit)(void *state, int16_t *blocks);
};

struct lcsl_jpeg {
    struct jpeg_decompress_struct info;
    struct jpeg_error_mgr errors;
    struct jpeg_progress_mgr progress;
    jmp_buf broken;
    const uint8_t *bytes;
    size_t length;
    struct lcsl_reader reader;
    int scans_max;
    int exists, is_in_header, has_stepped_aside, was_read;
    /* Bytes between the codes of the last pixel and the end of the picture. */
    uint64_t extraneous;
    /* The first thing that is wrong; empty where nothing is. */
    char words[JMSG_LENGTH_MAX];
};

static struct lcsl_jpeg *of(j_common_ptr info) {
    return info->client_data;
}

static void complain(struct lcsl_jpeg *jpeg, j_common_ptr info) {
    if (jpeg->words[0] == 0) {
        info->err->format_message(info, jpeg->words);
        if (jpeg->words[0] == 0) strcpy(jpeg->words, "something without words");
    }
}

static void error_exit(j_common_ptr info) {
    complain(of(info), info);
    longjmp(of(info)->broken, 1);
}

/* A warning is about the pixels, but for these: bytes between the segments of a header or before the end of the
 * file, and versions and transforms that every decoder takes for the usual ones. */
static void emit_message(j_common_ptr info, int level) {
    if (level >= 0) return;
    const struct jpeg_error_mgr *errors = info->err;
    const int end_of_image = 0xd9;
    switch (errors->msg_code) {
    case JWRN_EXTRANEOUS_DATA:
        if (of(info)->is_in_header) return;
        if (errors->msg_parm.i[1] == end_of_image) {
            of(info)->extraneous += (uint64_t)errors->msg_parm.i[0];
            return;
        }
        break;
    case JWRN_ADOBE_XFORM:
    case JWRN_JFIF_MAJOR:
        return;
    }
    complain(of(info), info);
}

static void output_message(j_common_ptr info) {
    (void)info; /* nothing is printed */
}

static void progress_monitor(j_common_ptr info) {
    struct lcsl_jpeg *jpeg = of(info);
    if (jpeg->info.input_scan_number > jpeg->scans_max) {
        if (jpeg->words[0] == 0)
            snprintf(jpeg->words, sizeof jpeg->words, "Progressive JPEG image has more than %d scans", jpeg->scans_max);
        longjmp(jpeg->broken, 1);
    }
}

static int is_print(const struct jpeg_decompress_struct *info) {
    return info->jpeg_color_space == JCS_CMYK || info->jpeg_color_space == JCS_YCCK;
}

static void forget(struct lcsl_jpeg *jpeg) {
    if (jpeg->exists) jpeg_destroy_decompress(&jpeg->info);
    jpeg->exists = 0;
}

/* Reads the header with a decoder that has seen no other file. Errors leave by `broken`. */
static void read_header(struct lcsl_jpeg *jpeg) {
    forget(jpeg);
    jpeg->words[0] = 0;
    jpeg->has_stepped_aside = 0;
    jpeg->is_in_header = 1;
    jpeg->extraneous = 0;
    memset(&jpeg->info, 0, sizeof jpeg->info);
    jpeg->info.err = jpeg_std_error(&jpeg->errors);
    jpeg->errors.error_exit = error_exit;
    jpeg->errors.emit_message = emit_message;
    jpeg->errors.output_message = output_message;
    jpeg->info.client_data = jpeg;
    jpeg->exists = 1; /* also where creating it fails half-way: all its fields are zero or valid */
    jpeg_create_decompress(&jpeg->info);
    jpeg->info.mem->max_memory_to_use = 0; /* whatever the environment says */
    jpeg->progress.progress_monitor = progress_monitor;
    jpeg->info.progress = &jpeg->progress;
    jpeg_mem_src(&jpeg->info, jpeg->bytes, (unsigned long)jpeg->length);
    jpeg_read_header(&jpeg->info, TRUE);
    jpeg->is_in_header = 0;
}

#ifdef LCSL_FAST_HUFFMAN
static boolean decode_mcu(j_decompress_ptr info, JBLOCKROW *blocks) {
    struct lcsl_jpeg *jpeg = info->client_data;
    if (!jpeg->reader.unit(jpeg->reader.state, blocks ? blocks[0][0] : NULL)) {
        jpeg->has_stepped_aside = 1;
        longjmp(jpeg->broken, 1);
    }
    return TRUE;
}

/* Lets the reader read the codes of this scan if it wants to: 1 then. Decoding has begun, and no row was read. */
static int install(struct lcsl_jpeg *jpeg, uint32_t left, uint32_t width) {
    struct jpeg_decompress_struct *info = &jpeg->info;
    if (jpeg_has_multiple_scans(info) || info->progressive_mode || info->arith_code || info->data_precision != 8 ||
        info->Ss != 0 || info->Se != DCTSIZE2 - 1 || info->Ah != 0 || info->Al != 0 || info->unread_marker != 0)
        return 0;
    struct lcsl_scan scan = {
        .bytes = info->src->next_input_byte,
        .length = info->src->bytes_in_buffer,
        .columns = info->MCUs_per_row,
        .units = info->MCUs_per_row * info->MCU_rows_in_scan,
        .interval = info->restart_interval,
        .blocks = (uint32_t)info->blocks_in_MCU,
    };
    /* As jpeg_crop_scanline counts columns. */
    uint32_t factor = (uint32_t)(info->num_components == 1 ? 1 : info->max_h_samp_factor);
    uint32_t unit = factor * (uint32_t)info->min_DCT_scaled_size;
    scan.first_wanted = left / unit;
    scan.last_wanted = (left + width - 1) / unit;
    for (int block = 0; block < info->blocks_in_MCU; block++) {
        const jpeg_component_info *component = info->cur_comp_info[info->MCU_membership[block]];
        scan.component[block] = (uint8_t)info->MCU_membership[block];
        scan.dc[block] = (uint8_t)component->dc_tbl_no;
        scan.ac[block] = (uint8_t)component->ac_tbl_no;
    }
    for (int table = 0; table < NUM_HUFF_TBLS; table++) {
        const JHUFF_TBL *dc = info->dc_huff_tbl_ptrs[table], *ac = info->ac_huff_tbl_ptrs[table];
        if (dc) scan.dc_counts[table] = dc->bits, scan.dc_symbols[table] = dc->huffval;
        if (ac) scan.ac_counts[table] = ac->bits, scan.ac_symbols[table] = ac->huffval;
    }
    if (!jpeg->reader.begin(jpeg->reader.state, &scan)) return 0;
    info->entropy->decode_mcu = decode_mcu;
    return 1;
}
#else
/* Nobody but the library reads codes. */
static int install(struct lcsl_jpeg *jpeg, uint32_t left, uint32_t width) {
    (void)jpeg, (void)left, (void)width;
    return 0;
}
#endif

static void disagree(struct lcsl_jpeg *jpeg) {
    strcpy(jpeg->words, "the picture and its region have different sizes");
    longjmp(jpeg->broken, 1);
}

/* Decodes `region` into rows without gaps. Errors leave by `broken`. Answers whether the reader read the codes. */
static int decode(struct lcsl_jpeg *jpeg, const struct lcsl_region *region, uint8_t *pixels, int may_install) {
    struct jpeg_decompress_struct *info = &jpeg->info;
    info->out_color_space = is_print(info) ? JCS_CMYK : JCS_EXT_RGBX;
    info->do_fancy_upsampling = !region->is_fast;
    info->dct_method = region->is_fast ? JDCT_FASTEST : JDCT_ISLOW;
    info->scale_num = 1;
    info->scale_denom = region->reduction;
    jpeg_start_decompress(info);
    if (!region->is_whole) {
        JDIMENSION left = region->left, width = region->width;
        jpeg_crop_scanline(info, &left, &width);
        if (left != region->left) disagree(jpeg);
    }
    if (info->output_width != region->width || info->output_components != PIXEL ||
        info->output_height < region->height || info->output_height - region->height < region->top)
        disagree(jpeg);
    int is_installed = may_install && install(jpeg, region->left, region->width);
    if (region->top > 0 && jpeg_skip_scanlines(info, region->top) != region->top) disagree(jpeg);
    const size_t pitch = (size_t)region->width * PIXEL;
    for (uint32_t row = 0; row < region->height;) {
        JSAMPROW rows[ROWS];
        uint32_t wanted = region->height - row < ROWS ? region->height - row : ROWS;
        for (uint32_t at = 0; at < wanted; at++) rows[at] = pixels + (row + at) * pitch;
        row += jpeg_read_scanlines(info, rows, wanted);
    }
    /* What follows the rows of a region is not looked at; a reader has looked for the end itself. */
    if (!is_installed && info->output_scanline == info->output_height) jpeg_finish_decompress(info);
    return is_installed;
}

struct lcsl_jpeg *lcsl_jpeg_new(int scans_max) {
    struct lcsl_jpeg *jpeg = calloc(1, sizeof *jpeg);
    if (jpeg) jpeg->scans_max = scans_max;
    return jpeg;
}

void lcsl_jpeg_free(struct lcsl_jpeg *jpeg) {
    forget(jpeg);
    free(jpeg);
}

/* Reads the header of a file, whose bytes are not looked at again after it. 0, or -1 with words. */
int lcsl_jpeg_header(struct lcsl_jpeg *jpeg, const uint8_t *bytes, size_t length, struct lcsl_found *found) {
    jpeg->bytes = bytes;
    jpeg->length = length;
    if (setjmp(jpeg->broken)) return -1;
    read_header(jpeg);
    const struct jpeg_decompress_struct *info = &jpeg->info;
    memset(found, 0, sizeof *found);
    found->width = info->image_width;
    found->height = info->image_height;
    found->components = (uint32_t)info->num_components;
    found->precision = (uint32_t)info->data_precision;
    found->is_print = (uint32_t)is_print(info);
    for (int at = 0; at < info->num_components && at < COMPONENTS; at++) {
        found->across[at] = (uint32_t)info->comp_info[at].h_samp_factor;
        found->down[at] = (uint32_t)info->comp_info[at].v_samp_factor;
    }
    return jpeg->words[0] ? -1 : 0;
}

/* Decodes a region of a file, whose header need not be read again if it was the last one: `height` rows of `width`
 * pixels of four bytes. 0, or 1 where `reader` (which may be null) read the codes, or -1 with words. */
int lcsl_jpeg_decode(struct lcsl_jpeg *jpeg, const uint8_t *bytes, size_t length, const struct lcsl_region *region,
                     const struct lcsl_reader *reader, uint8_t *pixels) {
    /* No local variable is changed between setjmp and longjmp: its value would be lost. */
    jpeg->was_read = 0;
    if (jpeg->bytes != bytes || jpeg->length != length) forget(jpeg);
    jpeg->bytes = bytes;
    jpeg->length = length;
    if (reader) jpeg->reader = *reader;
    if (!setjmp(jpeg->broken)) {
        if (!jpeg->exists) read_header(jpeg);
        jpeg->was_read = decode(jpeg, region, pixels, reader != NULL);
    } else if (jpeg->has_stepped_aside) {
        if (!setjmp(jpeg->broken)) {
            read_header(jpeg); /* from the beginning, and alone */
            decode(jpeg, region, pixels, 0);
        }
    }
    forget(jpeg);
    return jpeg->words[0] ? -1 : jpeg->was_read;
}

/* Bytes that the file last decoded has behind the codes of its last pixel, where all of it was decoded. */
uint64_t lcsl_jpeg_extraneous(const struct lcsl_jpeg *jpeg) {
    return jpeg->extraneous;
}

const char *lcsl_jpeg_words(const struct lcsl_jpeg *jpeg) {
    return jpeg->words;
}
