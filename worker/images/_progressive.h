/* The scans of a progressive JPEG, read by us: the same coefficients as libjpeg's, and only of what a cell shows.
 * docs/decisions/huffman.md tells why; `_huffman.h` has the bits, the symbols and the tables.
 *
 * libjpeg goes on to read markers and to hold the coefficients; for each scan it calls `begin_scan` here, in place of its
 * own, and then `decode_mcu` for each MCU. Three things are gained: what lies below the part that is asked for is not
 * read at all; of what lies above and beside it, no coefficient is written; and a refining scan, which has to know where
 * a block has something, looks at 64 bits and not at 64 coefficients.
 *
 * As in `_huffman.h` no byte is trusted. Writing: coefficient k goes into a block only where k is in the scan's band.
 * Reading: a block of a refining scan has 64 symbols of 17 bits and 63 further bits at most, which is less than PAD.
 * The mask of a block is found by counting calls, which libjpeg makes in the order of the blocks, as many as there are.
 * What is odd (restart markers, scans that add nothing, symbols beyond 8-bit JPEG) goes the way of libjpeg's errors.
 *
 * Reference: ITU-T T.81, G.1.2 (progressive coding), A.2.2 (the order of blocks).
 */
enum { MOST_PLANES = 3, MOST_SHIFT = 5 }; /* values of 10 bits, shifted further, would leave their 16 */

struct area {
    unsigned left, top, right, bottom;
};

struct progressive {
    struct scan scan;                /* first: `client_data` is taken for it as well */
    unsigned char *copy;             /* of the scan's bytes */
    uint64_t *nonzero[MOST_PLANES];  /* for each block of a plane: bit k is set where coefficient k is not 0 */
    struct area shown;               /* in MCUs of all planes, from ... to before */
    struct area wanted;              /* in MCUs of this scan */
    unsigned row, column;            /* of the next MCU */
    unsigned blocks_ended;           /* blocks from here on that have nothing more in this scan */
    void (*theirs_begin_scan)(j_decompress_ptr);
};

/* --- blocks ------------------------------------------------------------------------------------------------------ */

ALWAYS_INLINE uint64_t bits_from_to(unsigned first, unsigned last) {
    return UINT64_MAX << first & UINT64_MAX >> (63 - last);
}

/* The bits behind a symbol's code as they stand. */
ALWAYS_INLINE unsigned bits_behind(symbol found, uint64_t next) {
    unsigned code_bits = found >> 8 & 0xff, value_bits = found >> 16 & 0xff;
    return (unsigned)(next << code_bits >> 1 >> (63 - value_bits));
}

/* Where the bit stands that has n set ones below it; 64 if there is none. */
ALWAYS_INLINE unsigned nth_bit(uint64_t set, unsigned n) {
    while (n-- > 0)
        set &= set - 1;
    return set != 0 ? (unsigned)__builtin_ctzll(set) : DCTSIZE2;
}

/* Read one coefficient of a first scan, and return whether the block goes on. */
ALWAYS_INLINE int read_first(j_decompress_ptr jpeg, struct progressive *it, const struct huffman_table *table,
                             struct bits *bits, JCOEF *block, uint64_t *nonzero, unsigned *k) {
    symbol found = next_symbol(jpeg, table, bits);
    *k += zeros_of(found);
    if (zeros_of(found) == BLOCK_ENDS) {
        it->blocks_ended = (1u << (found >> 16 & 0xff)) - 1 + bits_behind(found, bits->next);
        drop(bits, bits_of(found));
        return 0;
    }
    if (UNLIKELY(*k > (unsigned)jpeg->Se))
        fail(jpeg);
    if (found >> 16 & 0xff) { /* else they are sixteen zeros */
        *nonzero |= UINT64_C(1) << *k;
        if (block)
            block[natural_order[*k]] = (JCOEF)((unsigned)value_of(found, bits->next) << jpeg->Al);
    }
    drop(bits, bits_of(found));
    return ++*k <= (unsigned)jpeg->Se;
}

/* The 56 bits are enough for a coefficient of 26 and an end of 30. */
ALWAYS_INLINE void read_first_block(j_decompress_ptr jpeg, struct progressive *it, const struct huffman_table *table,
                                    struct bits *bits, JCOEF *block, uint64_t *nonzero) {
    unsigned k = (unsigned)jpeg->Ss;
    do
        fill_up(bits);
    while (read_first(jpeg, it, table, bits, block, nonzero, &k) &&
           read_first(jpeg, it, table, bits, block, nonzero, &k));
}

/* Read a bit for each of these coefficients, and add it to them. */
ALWAYS_INLINE void refine(j_decompress_ptr jpeg, struct bits *bits, JCOEF *block, uint64_t which) {
    while (which != 0) {
        fill_up(bits);
        for (unsigned left = 32; left > 0 && which != 0; left--, which &= which - 1) {
            if (block) {
                JCOEF *it = &block[natural_order[__builtin_ctzll(which)]];
                int sign = *it >> 15, added = (int)(bits->next >> 63) << jpeg->Al & ~*it;
                *it = (JCOEF)(*it + ((added ^ sign) - sign));
            }
            drop(bits, 1);
        }
    }
}

ALWAYS_INLINE void read_refining_block(j_decompress_ptr jpeg, struct progressive *it, const struct huffman_table *table,
                                       struct bits *bits, JCOEF *block, uint64_t *nonzero) {
    unsigned k = (unsigned)jpeg->Ss, last = (unsigned)jpeg->Se;
    while (it->blocks_ended == 0 && k <= last) {
        fill_up(bits);
        symbol found = next_symbol(jpeg, table, bits);
        unsigned value_bits = found >> 16 & 0xff, behind = bits_behind(found, bits->next);
        drop(bits, bits_of(found));
        if (zeros_of(found) == BLOCK_ENDS) {
            it->blocks_ended = (1u << value_bits) + behind;
            break;
        }
        unsigned at = nth_bit(~*nonzero & bits_from_to(k, last), zeros_of(found));
        if (UNLIKELY(value_bits > 1 || (value_bits == 1 && at > last)))
            fail(jpeg);
        if (at > k)
            refine(jpeg, bits, block, *nonzero & bits_from_to(k, (at <= last ? at : last + 1) - 1));
        if (value_bits == 1) {
            *nonzero |= UINT64_C(1) << at;
            if (block)
                block[natural_order[at]] = (JCOEF)(behind ? 1 << jpeg->Al : -(1 << jpeg->Al));
        }
        k = at + 1;
    }
    if (it->blocks_ended > 0) {
        if (k <= last)
            refine(jpeg, bits, block, *nonzero & bits_from_to(k, last));
        it->blocks_ended--;
    }
}

/* --- MCUs -------------------------------------------------------------------------------------------------------- */

ALWAYS_INLINE void step(struct progressive *it, j_decompress_ptr jpeg) {
    if (++it->column == jpeg->MCUs_per_row) {
        it->column = 0;
        it->row++;
    }
}

ALWAYS_INLINE int is_wanted(const struct progressive *it) {
    return it->row >= it->wanted.top && it->column >= it->wanted.left && it->column < it->wanted.right;
}

ALWAYS_INLINE void fail_behind_the_end(j_decompress_ptr jpeg, const struct scan *scan, const struct bits *bits) {
    if (UNLIKELY((bits->at - scan->end) * 8 > (ptrdiff_t)bits->count))
        fail(jpeg);
}

/* The blocks' DCs, first bits or one more bit. */
ALWAYS_INLINE boolean read_dc_mcu(j_decompress_ptr jpeg, JBLOCKROW *blocks) {
    struct progressive *it = jpeg->client_data;
    if (it->row >= it->wanted.bottom)
        return TRUE;
    struct bits bits = it->scan.bits;
    int is_shown = is_wanted(it);
    for (int i = 0; i < jpeg->blocks_in_MCU; i++) {
        fill_up(&bits);
        unsigned value = (unsigned)(bits.next >> 63);
        if (jpeg->Ah == 0) {
            symbol found = next_symbol(jpeg, it->scan.dc_table[i], &bits);
            value = it->scan.dc[jpeg->MCU_membership[i]] += (unsigned)value_of(found, bits.next);
            drop(&bits, bits_of(found));
        } else {
            drop(&bits, 1);
        }
        if (is_shown)
            blocks[i][0][0] = (JCOEF)((jpeg->Ah == 0 ? 0 : blocks[i][0][0]) | value << jpeg->Al);
    }
    fail_behind_the_end(jpeg, &it->scan, &bits);
    it->scan.bits = bits;
    step(it, jpeg);
    return TRUE;
}

/* The ACs of one block. */
ALWAYS_INLINE boolean read_ac_mcu(j_decompress_ptr jpeg, JBLOCKROW *blocks, int refines) {
    struct progressive *it = jpeg->client_data;
    if (it->row >= it->wanted.bottom)
        return TRUE;
    const jpeg_component_info *component = jpeg->cur_comp_info[0];
    uint64_t *nonzero = &it->nonzero[component->component_index][(size_t)it->row * jpeg->MCUs_per_row + it->column];
    int is_shown = is_wanted(it);
    if (refines) {
        struct bits bits = it->scan.bits;
        if (is_shown)
            read_refining_block(jpeg, it, it->scan.ac_table[0], &bits, blocks[0][0], nonzero);
        else
            read_refining_block(jpeg, it, it->scan.ac_table[0], &bits, NULL, nonzero);
        fail_behind_the_end(jpeg, &it->scan, &bits);
        it->scan.bits = bits;
    } else if (it->blocks_ended > 0) {
        it->blocks_ended--;
    } else {
        struct bits bits = it->scan.bits;
        if (is_shown)
            read_first_block(jpeg, it, it->scan.ac_table[0], &bits, blocks[0][0], nonzero);
        else
            read_first_block(jpeg, it, it->scan.ac_table[0], &bits, NULL, nonzero);
        fail_behind_the_end(jpeg, &it->scan, &bits);
        it->scan.bits = bits;
    }
    if (is_shown && jpeg->Al == 0 && component->component_index == 0)
        look_at_some(&it->scan.lines, jpeg, blocks[0][0]);
    step(it, jpeg);
    return TRUE;
}

#define READERS(suffix, target)                                                                                        \
    target static boolean read_dc_##suffix(j_decompress_ptr jpeg, JBLOCKROW *blocks) {                                 \
        return read_dc_mcu(jpeg, blocks);                                                                              \
    }                                                                                                                  \
    target static boolean read_first_ac_##suffix(j_decompress_ptr jpeg, JBLOCKROW *blocks) {                           \
        return read_ac_mcu(jpeg, blocks, 0);                                                                           \
    }                                                                                                                  \
    target static boolean read_refining_ac_##suffix(j_decompress_ptr jpeg, JBLOCKROW *blocks) {                        \
        return read_ac_mcu(jpeg, blocks, 1);                                                                           \
    }

READERS(anywhere, )
#ifdef __x86_64__
READERS(bmi2, __attribute__((target("bmi,bmi2"))))
#endif

static void call_our_readers(j_decompress_ptr jpeg) {
    jpeg->entropy->decode_mcu = jpeg->Ss == 0   ? read_dc_anywhere
                                : jpeg->Ah == 0 ? read_first_ac_anywhere
                                                : read_refining_ac_anywhere;
#ifdef __x86_64__
    if (HAS_BMI2)
        jpeg->entropy->decode_mcu = jpeg->Ss == 0   ? read_dc_bmi2
                                    : jpeg->Ah == 0 ? read_first_ac_bmi2
                                                    : read_refining_ac_bmi2;
#endif
}

/* --- scans ------------------------------------------------------------------------------------------------------- */

/* Of one component, a scan's MCUs are its blocks. */
static struct area wanted_of(j_decompress_ptr jpeg, struct area shown) {
    if (jpeg->comps_in_scan > 1)
        return shown;
    unsigned across = (unsigned)jpeg->cur_comp_info[0]->h_samp_factor;
    unsigned down = (unsigned)jpeg->cur_comp_info[0]->v_samp_factor;
    return (struct area){shown.left * across, shown.top * down, shown.right * across, shown.bottom * down};
}

static void build_scan_tables(struct scan *it, j_decompress_ptr jpeg) {
    if (jpeg->Ss == 0 && jpeg->Ah != 0)
        return; /* it has no codes, and nobody has looked whether there are tables of the numbers that it names */
    for (int i = 0; i < NUM_HUFF_TBLS; i++)
        it->tables[0][i].is_built = it->tables[1][i].is_built = 0;
    for (int i = 0; i < jpeg->blocks_in_MCU; i++) {
        const jpeg_component_info *component = jpeg->cur_comp_info[jpeg->MCU_membership[i]];
        int is_ac = jpeg->Ss > 0, number = is_ac ? component->ac_tbl_no : component->dc_tbl_no;
        struct huffman_table *table = &it->tables[is_ac][number];
        if (!build(table, (is_ac ? jpeg->ac_huff_tbl_ptrs : jpeg->dc_huff_tbl_ptrs)[number], is_ac ? AC_WITH_RUNS : DC))
            fail(jpeg);
        it->dc_table[i] = it->ac_table[i] = table;
    }
}

static void begin_our_scan(j_decompress_ptr jpeg) {
    struct progressive *it = jpeg->client_data;
    const unsigned char *end;
    memset(&it->scan.bits, 0, sizeof it->scan.bits);
    memset(it->scan.dc, 0, sizeof it->scan.dc);
    it->row = it->column = it->blocks_ended = 0;
    it->wanted = wanted_of(jpeg, it->shown);
    if (jpeg->restart_interval != 0 || jpeg->Al > MOST_SHIFT ||
        (end = copy_scan(&it->scan, it->copy, jpeg->src->next_input_byte, jpeg->src->bytes_in_buffer)) == NULL)
        fail(jpeg);
    jpeg->src->bytes_in_buffer -= (size_t)(end - jpeg->src->next_input_byte);
    jpeg->src->next_input_byte = end;
    build_scan_tables(&it->scan, jpeg);
    call_our_readers(jpeg);
}

/* What libjpeg calls at the beginning of each scan: its own looks at the scan's parameters and tables. */
static void begin_scan(j_decompress_ptr jpeg) {
    ((struct progressive *)jpeg->client_data)->theirs_begin_scan(jpeg);
    begin_our_scan(jpeg);
}

/* Read the scans of a file that libjpeg has just begun to decompress; its first one has begun.
 * `shown` are the MCUs whose coefficients are wanted. Takes `client_data`; all memory goes when `jpeg` is destroyed. */
static void read_scans_ourselves(j_decompress_ptr jpeg, struct area shown) {
    struct jpeg_memory_mgr *memory = jpeg->mem;
    j_common_ptr common = (j_common_ptr)jpeg;
    struct progressive *it = memory->alloc_large(common, JPOOL_IMAGE, sizeof *it);
    it->copy = memory->alloc_large(common, JPOOL_IMAGE, jpeg->src->bytes_in_buffer + PAD);
    for (int i = 0; i < jpeg->num_components; i++) {
        const jpeg_component_info *component = &jpeg->comp_info[i];
        size_t size = (size_t)component->width_in_blocks * component->height_in_blocks * sizeof(uint64_t);
        it->nonzero[i] = memset(memory->alloc_large(common, JPOOL_IMAGE, size), 0, size);
    }
    memset(&it->scan.lines, 0, sizeof it->scan.lines);
    it->shown = shown;
    it->theirs_begin_scan = jpeg->entropy->start_pass;
    jpeg->client_data = it;
    jpeg->entropy->start_pass = begin_scan;
    begin_our_scan(jpeg);
}
