/* A Huffman decoder for baseline JPEGs, which libjpeg calls in place of its own: the same coefficients in two thirds of
 * the time. docs/decisions/huffman.md tells why there is one.
 *
 * It gains by three things. The escapes (FF 00) are taken out of the scan in one go before, so that eight bytes are
 * loaded at a time; and only at every second symbol, since 56 bits are at hand then and two symbols have 53 at most. One
 * look into a table tells a symbol's code and the bits that follow it. Nothing is asked for each symbol but whether the
 * block ends.
 *
 * No byte of the file is trusted, and nothing is checked for each symbol all the same. Codes: libjpeg has made sure that
 * they are codes; here are only those taken that stand for 10 further bits at most (a DC's: 11), as all of 8-bit JPEG
 * do. Writing: coefficient k goes into a block only where k < 64. Reading: a block has 64 symbols of 27 bits at most,
 * and it is looked after each whether the scan has ended before; PAD zeros behind the scan are more than a block can
 * read. Whatever is wrong goes the way of libjpeg's own errors.
 *
 * References: ITU-T T.81, F.2.2 (decoding), C.2 (codes), B.1.1.5 (escapes). How bits are filled up without a branch:
 * Fabian Giesen, "Reading bits in far too many ways", variant 4.
 */
#include <endian.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <jpeglib.h>

#if JPEG_LIB_VERSION >= 70 /* libjpeg-turbo can be built with the names of later libjpegs, as Ubuntu's is */
#define DCT_scaled_size DCT_h_scaled_size
#define min_DCT_scaled_size min_DCT_h_scaled_size
#endif

/* libjpeg's jpegint.h, which is not installed, begins this struct so; in every libjpeg since 6b, of 1998. */
struct jpeg_entropy_decoder {
    void (*start_pass)(j_decompress_ptr);
    boolean (*decode_mcu)(j_decompress_ptr, JBLOCKROW *);
};

#define ALWAYS_INLINE static inline __attribute__((always_inline))
#define UNLIKELY(condition) __builtin_expect((condition), 0)

enum { LOOK = 10, LONGEST = 16, PAD = 256, BLOCK_ENDS = 64 };

/* What a table's symbols stand for. Those of progressive scans may end a run of blocks, and tell its length. */
enum kind { DC, AC, AC_WITH_RUNS };

/* What is known of the next bits: how many the code and its value take, how many the code, how many the value; and how
 * many zeros stand before that value, BLOCK_ENDS for the symbol that ends a block. 0 where LOOK bits do not tell. */
typedef uint32_t symbol;

ALWAYS_INLINE symbol made_symbol(unsigned code_bits, unsigned value_bits, unsigned zeros) {
    return (code_bits + value_bits) | code_bits << 8 | value_bits << 16 | zeros << 24;
}
ALWAYS_INLINE unsigned bits_of(symbol it) {
    return it & 0xff;
}
ALWAYS_INLINE unsigned zeros_of(symbol it) {
    return it >> 24;
}

struct huffman_table {
    symbol next[1 << LOOK];
    unsigned end[LONGEST + 1];   /* behind the last code of so many bits */
    unsigned shift[LONGEST + 1]; /* added to such a code, it is where its symbol stands (modulo 2^32) */
    const UINT8 *symbols;
    enum kind kind;
    int is_built;
};

struct bits {
    uint64_t next;           /* from the highest bit down */
    unsigned count;          /* how many of them are sure to be there */
    const unsigned char *at; /* where the rest is */
};

/* How much of a picture's luma is fine lines. Lines up or down, or across, put their energy on a block's two axes, where
 * coefficients are of one frequency only; leaves, grain and letters put as much beside them. So the one is counted for,
 * the other against. docs/performance.md has the measurements. */
struct lines {
    int64_t energy; /* on the axes, less that beside them; of coefficients whose frequency is 2 or more */
    unsigned blocks, until_next;
};

struct scan {
    struct lines lines;
    struct bits bits;
    const unsigned char *end;
    unsigned dc[MAX_COMPS_IN_SCAN];
    const struct huffman_table *dc_table[D_MAX_BLOCKS_IN_MCU], *ac_table[D_MAX_BLOCKS_IN_MCU];
    int wants_ac[D_MAX_BLOCKS_IN_MCU];
    struct huffman_table tables[2][NUM_HUFF_TBLS];
};

static const uint8_t natural_order[DCTSIZE2] = {
    0,  1,  8,  16, 9,  2,  3,  10, 17, 24, 32, 25, 18, 11, 4,  5,  12, 19, 26, 33, 40, 48,
    41, 34, 27, 20, 13, 6,  7,  14, 21, 28, 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23,
    30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54, 47, 55, 62, 63,
};

/* --- the tables ------------------------------------------------------------------------------------------------- */

/* Of one byte of a file's table; 0 for one that 8-bit JPEG does not have. */
static symbol symbol_of(unsigned byte, unsigned code_bits, enum kind kind) {
    if (kind == DC)
        return byte <= 11 ? made_symbol(code_bits, byte, 0) : 0;
    unsigned zeros = byte >> 4, value_bits = byte & 15;
    if (value_bits == 0 && zeros != 15)
        return made_symbol(code_bits, kind == AC_WITH_RUNS ? zeros : 0, BLOCK_ENDS);
    return value_bits <= 10 ? made_symbol(code_bits, value_bits, zeros) : 0;
}

/* From a table that libjpeg has looked through; false if it has symbols that 8-bit JPEG does not have. */
static int build(struct huffman_table *it, const JHUFF_TBL *theirs, enum kind kind) {
    if (it->is_built)
        return 1;
    memset(it->next, 0, sizeof it->next);
    it->symbols = theirs->huffval;
    it->kind = kind;
    unsigned code = 0, index = 0;
    for (unsigned length = 1; length <= LONGEST; length++, code <<= 1) {
        it->shift[length] = index - code;
        for (unsigned left = theirs->bits[length]; left > 0; left--, code++, index++) {
            if (index >= sizeof theirs->huffval || code >= 1u << length)
                return 0;
            symbol found = symbol_of(theirs->huffval[index], length, kind);
            if (found == 0)
                return 0;
            if (length <= LOOK)
                for (unsigned look = code << (LOOK - length); look < (code + 1) << (LOOK - length); look++)
                    it->next[look] = found;
        }
        it->end[length] = code;
    }
    return it->is_built = 1;
}

/* --- fine lines --------------------------------------------------------------------------------------------------- */

enum { LOOKED_AT = 13, MOST_COEFFICIENT = 4095 }; /* every so many MCUs one block; no row has a multiple of it twice */

ALWAYS_INLINE int energy_of(int coefficient, int step) {
    int value = coefficient * step;
    value = value > MOST_COEFFICIENT ? MOST_COEFFICIENT : value < -MOST_COEFFICIENT ? -MOST_COEFFICIENT : value;
    return value * value;
}

/* Look at a block of luma: natural order, so that its axes are the first row and the first column. */
static void look_at_lines(struct lines *it, const JCOEF *block, const JQUANT_TBL *steps) {
    int axes = 0, all = 0;
    for (int k = 0; k < DCTSIZE2; k++)
        all += energy_of(block[k], steps->quantval[k]);
    for (int low = 0; low < 2; low++)
        for (int k = low; k < 2 * DCTSIZE; k += DCTSIZE)
            all -= energy_of(block[k], steps->quantval[k]);
    for (int k = 2; k < DCTSIZE; k++)
        axes += energy_of(block[k], steps->quantval[k]) +
                energy_of(block[k * DCTSIZE], steps->quantval[k * DCTSIZE]);
    it->energy += 2 * (int64_t)axes - all;
    it->blocks++;
}

/* Of the blocks that are given, look at some. */
ALWAYS_INLINE void look_at_some(struct lines *it, j_decompress_ptr jpeg, const JCOEF *block) {
    if (UNLIKELY(it->until_next-- == 0)) {
        it->until_next = LOOKED_AT - 1;
        look_at_lines(it, block, jpeg->comp_info[0].quant_table);
    }
}

/* The energy of fine lines for each sample of luma, in levels squared. */
static double energy_of_lines(const struct lines *it) {
    return it->blocks > 0 ? (double)it->energy / DCTSIZE2 / it->blocks : 0;
}

/* --- bits, symbols, blocks -------------------------------------------------------------------------------------- */

__attribute__((noreturn, cold)) static void fail(j_decompress_ptr jpeg) {
    jpeg->err->error_exit((j_common_ptr)jpeg);
    __builtin_unreachable();
}

ALWAYS_INLINE void fill_up(struct bits *it) {
    uint64_t loaded;
    memcpy(&loaded, it->at, sizeof loaded);
    it->next |= be64toh(loaded) >> it->count;
    it->at += (63 - it->count) >> 3;
    it->count |= 56;
}

ALWAYS_INLINE void drop(struct bits *it, unsigned count) {
    it->next <<= count;
    it->count -= count;
}

/* A symbol whose code has more than LOOK bits. */
__attribute__((noinline, cold)) static symbol long_symbol(j_decompress_ptr jpeg, const struct huffman_table *table,
                                                          uint64_t next) {
    for (unsigned length = LOOK + 1; length <= LONGEST; length++) {
        unsigned code = (unsigned)(next >> (64 - length));
        if (code < table->end[length])
            return symbol_of(table->symbols[code + table->shift[length]], length, table->kind);
    }
    fail(jpeg);
}

ALWAYS_INLINE symbol next_symbol(j_decompress_ptr jpeg, const struct huffman_table *table, const struct bits *bits) {
    symbol found = table->next[bits->next >> (64 - LOOK)];
    return UNLIKELY(found == 0) ? long_symbol(jpeg, table, bits->next) : found;
}

/* The value behind a symbol's code: n bits with the first one set are a positive number, others what is 2^n - 1 less. */
ALWAYS_INLINE int value_of(symbol found, uint64_t next) {
    unsigned code_bits = found >> 8 & 0xff, value_bits = found >> 16 & 0xff;
    uint64_t value = next << code_bits, flip = (uint64_t)((int64_t)value >> 63) ^ UINT64_MAX;
    return (int)(((value ^ flip) >> 1 >> (63 - value_bits) ^ flip) - flip);
}

/* Read one coefficient, into a block if there is one, and return whether the block goes on. */
ALWAYS_INLINE int read_one(j_decompress_ptr jpeg, const struct huffman_table *table, struct bits *bits, JCOEF *block,
                           unsigned *k) {
    symbol found = next_symbol(jpeg, table, bits);
    *k += zeros_of(found);
    if (*k >= DCTSIZE2) {
        if (UNLIKELY(zeros_of(found) != BLOCK_ENDS))
            fail(jpeg);
        drop(bits, bits_of(found));
        return 0;
    }
    if (block)
        block[natural_order[*k]] = (JCOEF)value_of(found, bits->next);
    drop(bits, bits_of(found));
    return ++*k < DCTSIZE2;
}

/* Read what is behind a block's DC. The 56 bits are enough for two symbols; the first one shares them with the DC. */
ALWAYS_INLINE void read_block(j_decompress_ptr jpeg, const struct huffman_table *table, struct bits *bits, JCOEF *block) {
    unsigned k = 1;
    while (read_one(jpeg, table, bits, block, &k)) {
        fill_up(bits);
        if (!read_one(jpeg, table, bits, block, &k))
            break;
    }
}

/* What libjpeg calls for each MCU: fill its blocks, which are zeroed; or, without blocks, pass over it. */
ALWAYS_INLINE boolean read_mcu(j_decompress_ptr jpeg, JBLOCKROW *blocks) {
    struct scan *scan = jpeg->client_data;
    struct bits bits = scan->bits;
    for (int i = 0; i < jpeg->blocks_in_MCU; i++) {
        fill_up(&bits);
        symbol found = next_symbol(jpeg, scan->dc_table[i], &bits);
        unsigned *dc = &scan->dc[jpeg->MCU_membership[i]];
        *dc += (unsigned)value_of(found, bits.next);
        drop(&bits, bits_of(found));
        if (blocks)
            blocks[i][0][0] = (JCOEF)*dc;
        if (blocks && (scan->wants_ac[i] || (i == 0 && scan->lines.until_next == 0)))
            read_block(jpeg, scan->ac_table[i], &bits, blocks[i][0]);
        else
            read_block(jpeg, scan->ac_table[i], &bits, NULL);
        if (UNLIKELY((bits.at - scan->end) * 8 > (ptrdiff_t)bits.count))
            fail(jpeg);
    }
    scan->bits = bits;
    if (blocks)
        look_at_some(&scan->lines, jpeg, blocks[0][0]);
    return TRUE;
}

static boolean read_mcu_anywhere(j_decompress_ptr jpeg, JBLOCKROW *blocks) {
    return read_mcu(jpeg, blocks);
}

#ifdef __x86_64__
#ifndef HAS_BMI2 /* a fuzzer has both tried */
#define HAS_BMI2 __builtin_cpu_supports("bmi2")
#endif
/* Shifts by a number of bits that is not known before are what there is most of; BMI2 has them in one step. */
__attribute__((target("bmi2"))) static boolean read_mcu_bmi2(j_decompress_ptr jpeg, JBLOCKROW *blocks) {
    return read_mcu(jpeg, blocks);
}
#endif

static void call_ours(j_decompress_ptr jpeg) {
    jpeg->entropy->decode_mcu = read_mcu_anywhere;
#ifdef __x86_64__
    if (HAS_BMI2)
        jpeg->entropy->decode_mcu = read_mcu_bmi2;
#endif
}

/* --- the scan ---------------------------------------------------------------------------------------------------- */

/* Copy the scan without its escapes, and return where the marker is that ends it; NULL if there is none. */
static const unsigned char *copy_scan(struct scan *it, unsigned char *to, const unsigned char *from, size_t length) {
    const unsigned char *const end = from + length;
    it->bits.at = to;
    for (;;) {
        const unsigned char *marker = memchr(from, 0xff, (size_t)(end - from));
        if (marker == NULL || end - marker < 2)
            return NULL;
        size_t before = (size_t)(marker - from);
        memcpy(to, from, before);
        to += before;
        from = marker + 2;
        if (marker[1] != 0) {
            memset(to, 0, PAD);
            it->end = to;
            return marker;
        }
        *to++ = 0xff;
    }
}

static int build_tables(struct scan *it, j_decompress_ptr jpeg) {
    for (int i = 0; i < jpeg->blocks_in_MCU; i++) {
        const jpeg_component_info *component = jpeg->cur_comp_info[jpeg->MCU_membership[i]];
        int dc = component->dc_tbl_no, ac = component->ac_tbl_no;
        if (!build(&it->tables[0][dc], jpeg->dc_huff_tbl_ptrs[dc], DC) ||
            !build(&it->tables[1][ac], jpeg->ac_huff_tbl_ptrs[ac], AC))
            return 0;
        it->dc_table[i] = &it->tables[0][dc];
        it->ac_table[i] = &it->tables[1][ac];
        it->wants_ac[i] = component->DCT_scaled_size > 1;
    }
    return 1;
}

/* Decode the scan that libjpeg has just begun to decompress, the only one of its file. False, with nothing changed,
 * where that is left to libjpeg: with restart markers, or without the file's end behind the scan.
 * Takes `client_data`; all memory goes when `jpeg` is destroyed. */
static int read_scan_ourselves(j_decompress_ptr jpeg) {
    if (jpeg->restart_interval != 0)
        return 0;
    size_t length = jpeg->src->bytes_in_buffer;
    struct scan *scan = jpeg->mem->alloc_large((j_common_ptr)jpeg, JPOOL_IMAGE, sizeof *scan);
    unsigned char *copy = jpeg->mem->alloc_large((j_common_ptr)jpeg, JPOOL_IMAGE, length + PAD);
    memset(&scan->bits, 0, sizeof scan->bits);
    memset(&scan->lines, 0, sizeof scan->lines);
    memset(scan->dc, 0, sizeof scan->dc);
    for (int i = 0; i < NUM_HUFF_TBLS; i++)
        scan->tables[0][i].is_built = scan->tables[1][i].is_built = 0;
    const unsigned char *marker = copy_scan(scan, copy, jpeg->src->next_input_byte, length);
    if (marker == NULL || marker[1] != JPEG_EOI || !build_tables(scan, jpeg))
        return 0;
    jpeg->client_data = scan;
    call_ours(jpeg);
    return 1;
}
