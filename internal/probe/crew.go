package probe

import "sync"

// crew is the workers, each with a connection of its own. The one that became
// idle last is called first, so that few connections stay in use and warm.
type crew struct {
	work func(*connection, job)
	max  int

	mu      sync.Mutex
	idle    []chan job
	workers int
	busy    sync.WaitGroup // jobs
	all     sync.WaitGroup // workers
}

func newCrew(max int, work func(*connection, job)) *crew { return &crew{work: work, max: max} }

// do hands a job to a worker; false when all of max are at work.
func (c *crew) do(j job) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if last := len(c.idle) - 1; last >= 0 {
		jobs := c.idle[last]
		c.idle = c.idle[:last]
		c.busy.Add(1)
		jobs <- j // has room: its worker waits for it
		return true
	}
	if c.workers == c.max {
		return false
	}
	c.workers++
	jobs := make(chan job, 1)
	c.busy.Add(1)
	jobs <- j
	c.all.Go(func() { c.worker(jobs) })
	return true
}

func (c *crew) worker(jobs chan job) {
	var conn connection
	defer conn.close()
	for j := range jobs {
		c.work(&conn, j)
		c.mu.Lock()
		c.idle = append(c.idle, jobs)
		c.mu.Unlock()
		c.busy.Done()
	}
}

// dismiss waits for the jobs under way and ends the workers. No do afterwards.
func (c *crew) dismiss() {
	c.busy.Wait()
	c.mu.Lock()
	for _, jobs := range c.idle {
		close(jobs)
	}
	c.mu.Unlock()
	c.all.Wait()
}
