/* For survey.sh: keeps the type of everything that a source hands to a helper that sends, as
 * written in the source, in variables of the section .truth. Their names have the number of the
 * line. It uses nothing that bpfrun looks at: only the compiler's own knowledge of types. */
#ifndef SURVEY_TRUTH_H
#define SURVEY_TRUTH_H

#define TRUTH_JOIN_(line, number) truth_##line##_##number
#define TRUTH_JOIN(line, number) TRUTH_JOIN_(line, number)
/* A pointer to the argument's type: of a pointer one star more, of an array a pointer to all of it.
 */
#define TRUTH(data)                                                                                \
	static const __typeof__(data) *TRUTH_JOIN(__LINE__, __COUNTER__)                           \
		__attribute__((used, section(".truth")))

#define bpf_ringbuf_submit(data, flags)                                                            \
	({                                                                                         \
		TRUTH(data);                                                                       \
		bpf_ringbuf_submit(data, flags);                                                   \
	})
#define bpf_ringbuf_output(map, data, size, flags)                                                 \
	({                                                                                         \
		TRUTH(data);                                                                       \
		bpf_ringbuf_output(map, data, size, flags);                                        \
	})
#define bpf_perf_event_output(context, map, flags, data, size)                                     \
	({                                                                                         \
		TRUTH(data);                                                                       \
		bpf_perf_event_output(context, map, flags, data, size);                            \
	})
#define bpf_seq_write(seq, data, size)                                                             \
	({                                                                                         \
		TRUTH(data);                                                                       \
		bpf_seq_write(seq, data, size);                                                    \
	})
/* What projects call that have one function for both kinds of buffers; survey.sh renames the calls.
 */
#define truth_submit_buf(context, data, size)                                                      \
	({                                                                                         \
		TRUTH(data);                                                                       \
		submit_buf(context, data, size);                                                   \
	})

#endif
